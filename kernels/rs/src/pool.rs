//! Spreads a kernel's items over threads.
//!
//! One thread, the caller, posts jobs in a control block; helpers join a job while it is open and leave when its items
//! are taken. Nobody waits for a helper that has not joined, so a helper that sleeps, starts or is gone costs nothing.

use crate::table::KERNELS;
#[cfg(target_feature = "atomics")]
use core::arch::wasm32::{memory_atomic_notify, memory_atomic_wait32};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

/// Most arguments a kernel takes.
pub const MAX_ARGS: usize = 48;

/// A value alone in its cache line, so that threads that write it do not disturb readers of others.
#[repr(C, align(64))]
struct Line<T>(T);

/// What the caller and its helpers share. The first four words are read and written from JavaScript too.
#[repr(C, align(64))]
pub struct Control {
    /// Grows by one for each job; helpers sleep on it.
    sequence: AtomicI32,
    /// Helpers asleep.
    sleepers: AtomicI32,
    /// Helpers inside a job: they may read the job's fields.
    entered: AtomicI32,
    /// Helpers alive.
    present: AtomicI32,
    /// Set when helpers shall leave for good.
    stop: AtomicU32,
    /// Set when a helper failed inside a job.
    failed: AtomicU32,
    /// 1 while helpers may join.
    open: Line<AtomicU32>,
    /// First item nobody has taken.
    next: Line<AtomicU32>,
    kernel: u32,
    items: u32,
    grain: u32,
    args: [f64; MAX_ARGS],
}

/// A kernel's arguments: addresses, sizes and scalars, all of them exact as f64.
#[derive(Clone, Copy)]
pub struct Args(*const f64);

impl Args {
    fn get(self, index: usize) -> f64 {
        debug_assert!(index < MAX_ARGS);
        unsafe { *self.0.add(index) }
    }
    /// A size, a stride or a flag.
    pub fn size(self, index: usize) -> usize {
        self.get(index) as usize
    }
    /// A scalar.
    pub fn scalar(self, index: usize) -> f32 {
        self.get(index) as f32
    }
    /// Whether a flag is set.
    pub fn flag(self, index: usize) -> bool {
        self.get(index) != 0.0
    }
    /// Address of something read.
    pub fn input<T>(self, index: usize) -> *const T {
        self.size(index) as *const T
    }
    /// Address of something written.
    pub fn output<T>(self, index: usize) -> *mut T {
        self.size(index) as *mut T
    }
}

/// A kernel does the items `begin … end − 1`; `thread` names its caller, for working memory of its own.
pub type Kernel = unsafe fn(args: Args, begin: usize, end: usize, thread: usize);

impl Control {
    fn work(&self, thread: usize) {
        let kernel = KERNELS[self.kernel as usize].1;
        let args = Args(self.args.as_ptr());
        loop {
            let begin = self.next.0.fetch_add(self.grain, SeqCst);
            if begin >= self.items {
                return;
            }
            let end = self.items.min(begin + self.grain);
            unsafe { kernel(args, begin as usize, end as usize, thread) };
        }
    }
}

/// A new control block; it is never freed, since a helper may look at it late.
#[unsafe(no_mangle)]
pub extern "C" fn pool_new() -> *mut Control {
    Box::leak(Box::new(Control {
        sequence: AtomicI32::new(0),
        sleepers: AtomicI32::new(0),
        entered: AtomicI32::new(0),
        present: AtomicI32::new(0),
        stop: AtomicU32::new(0),
        failed: AtomicU32::new(0),
        open: Line(AtomicU32::new(0)),
        next: Line(AtomicU32::new(0)),
        kernel: 0,
        items: 0,
        grain: 1,
        args: [0.0; MAX_ARGS],
    }))
}

/// Where the arguments of the next job go.
#[unsafe(no_mangle)]
pub extern "C" fn pool_args(control: *mut Control) -> *mut f64 {
    unsafe { &raw mut (*control).args as *mut f64 }
}

/// Runs a job and returns when it is done. At most one grain runs on the caller alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pool_launch(control: *mut Control, kernel: u32, items: u32, grain: u32) {
    unsafe {
        if items <= grain || (*control).present.load(SeqCst) == 0 {
            KERNELS[kernel as usize].1(Args((*control).args.as_ptr()), 0, items as usize, 0);
            return;
        }
        (*control).kernel = kernel;
        (*control).items = items;
        (*control).grain = grain;
        let control = &*control;
        control.next.0.store(0, SeqCst);
        control.open.0.store(1, SeqCst);
        // Never negative: helpers return it beside −1. Only the caller writes it while helpers live.
        let sequence = control.sequence.load(SeqCst);
        control.sequence.store(sequence.wrapping_add(1) & i32::MAX, SeqCst);
        #[cfg(target_feature = "atomics")]
        if control.sleepers.load(SeqCst) > 0 {
            memory_atomic_notify(control.sequence.as_ptr(), u32::MAX);
        }
        control.work(0);
        control.open.0.store(0, SeqCst);
        #[cfg(target_feature = "atomics")]
        wait_for_helpers(control);
    }
}

#[cfg(target_feature = "atomics")]
fn wait_for_helpers(control: &Control) {
    let mut spins = 0;
    while control.entered.load(SeqCst) != 0 {
        core::hint::spin_loop();
        spins += 1;
        // A helper that takes so long has lost its core: this thread's may be what it waits for.
        if spins > PATIENCE {
            let entered = control.entered.load(SeqCst);
            unsafe { memory_atomic_wait32(control.entered.as_ptr(), entered, NAP) };
        }
    }
}

/// How often the caller looks whether the last helper is out before it naps: longer than a grain should take.
#[cfg(target_feature = "atomics")]
const PATIENCE: u32 = 100_000;

/// Nanoseconds of a nap.
#[cfg(target_feature = "atomics")]
const NAP: i64 = 20_000;

/// How often a helper looks for work before it sleeps: a hundred microseconds or two, so that it is awake for the next token.
#[cfg(target_feature = "atomics")]
const SPINS: u32 = 100_000;

/// Nanoseconds a helper sleeps here; after that its thread belongs to its event loop again.
#[cfg(target_feature = "atomics")]
const SLEEP: i64 = 20_000_000;

/// A helper's life: joins jobs until there are none for a while. Returns −1 when it shall leave; otherwise the sequence
/// number to wait on, with the helper counted as asleep: who waits calls [`pool_awake`] after.
#[cfg(target_feature = "atomics")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pool_help(control: *const Control, thread: u32) -> i32 {
    let control = unsafe { &*control };
    let mut seen = control.sequence.load(SeqCst);
    loop {
        if control.stop.load(SeqCst) != 0 {
            return -1;
        }
        control.entered.fetch_add(1, SeqCst);
        // An open job seen after entering stays as it is until this helper is out again.
        if control.open.0.load(SeqCst) != 0 {
            control.work(thread as usize);
        }
        control.entered.fetch_sub(1, SeqCst);
        let mut spins = 0;
        while control.sequence.load(SeqCst) == seen && spins < SPINS {
            core::hint::spin_loop();
            spins += 1;
        }
        if spins == SPINS {
            control.sleepers.fetch_add(1, SeqCst);
            let woken = unsafe { memory_atomic_wait32(control.sequence.as_ptr(), seen, SLEEP) };
            if woken == 2 && control.stop.load(SeqCst) == 0 {
                return seen;
            }
            control.sleepers.fetch_sub(1, SeqCst);
        }
        seen = control.sequence.load(SeqCst);
    }
}

/// The helper's wait after [`pool_help`] is over.
#[cfg(target_feature = "atomics")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pool_awake(control: *const Control) {
    unsafe { (*control).sleepers.fetch_sub(1, SeqCst) };
}
