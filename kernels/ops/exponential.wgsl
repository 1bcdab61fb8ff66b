// The exponential to within an ulp or two. WGSL's own may be off by 3 + 2·|x| of them, and in places it is.
// exp(x) = 2ᵏ · exp(r) with |r| ≤ ln(2)/2: k · ln(2) is taken off in two parts, the first of them exact. The factor of
// the second is converted anew, or a compiler may join the parts and lose what they are for.
fn exponential(x: f32) -> f32 {
  let y = clamp(x, -87.0, 88.0);
  let k = round(y * 1.4426950408889634);
  let n = i32(k);
  let r = fma(f32(n), -1.4286068203094173e-6, fma(k, -0.693145751953125, y));
  var s = fma(r, 0.0013888889, 0.008333334);
  s = fma(s, r, 0.041666668);
  s = fma(s, r, 0.16666667);
  s = fma(s, r, 0.5);
  s = fma(s * r, r, r) + 1.0;
  return select(s * bitcast<f32>(u32(n + 127) << 23u), 0.0, x < -87.0);
}
