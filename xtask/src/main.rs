//! `xtask MODULE.wasm FOLDER`: the JavaScript bindings of a WebAssembly build.
//!
//! The library behind the `wasm-bindgen` command, so that its version is pinned with everything else and nothing has to be
//! installed.

use std::{env, path::PathBuf, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, folder] = arguments.as_slice() else {
        eprintln!("usage: xtask MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).typescript(true).remove_name_section(true).remove_producers_section(true);
    // The package names the module itself: `import.meta.url` must stand in one place that bundlers see.
    let made = bindgen.web(true).and_then(|bindgen| bindgen.omit_default_module_path(true).generate(folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error:?}", module.display());
            ExitCode::FAILURE
        }
    }
}
