//! `xtask INPUT.wasm NAME FOLDER` writes `NAME.js`, `NAME.d.ts` and `NAME_bg.wasm` into a folder.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, name, folder] = arguments.as_slice() else {
        eprintln!("Usage: xtask INPUT.wasm NAME FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    let made = bindgen
        .input_path(input)
        .out_name(name)
        .remove_name_section(true)
        .remove_producers_section(true)
        .web(true)
        .map(|b| b.typescript(true).omit_default_module_path(true))
        .and_then(|b| b.generate(folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Cannot write the glue of \"{input}\": {error:#}");
            ExitCode::FAILURE
        }
    }
}
