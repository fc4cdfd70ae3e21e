//! `spanwire doctor`: what this kernel allows, and so which features are on.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    cli::DoctorArgs,
    kernel::{
        features::Kernel,
        hooks::HookSet,
        load::{self, Options},
    },
    status,
};

/// Prints the table; the exit code says whether this host can be traced.
///
/// # Errors
///
/// When the running agent cannot be asked (`--live`), or why this host cannot be traced.
pub fn doctor(args: &DoctorArgs) -> Result<ExitCode> {
    if args.live {
        print!("{}", status::live(std::path::Path::new(status::RUN_DIRECTORY))?.table());
        return Ok(ExitCode::SUCCESS);
    }
    let kernel = Kernel::examine()?;
    println!("kernel    {}.{}", kernel.version.0, kernel.version.1);
    println!("lockdown  {}", kernel.lockdown.as_deref().unwrap_or("not known"));
    println!("BTF       yes");
    let mut chosen = None;
    for set in HookSet::ALL {
        let options = Options { hooks: Some(set), data_ring: load::DATA_RING, seed: [0; 2] };
        let says = match load::load(&kernel, &options) {
            Ok(_) => {
                chosen.get_or_insert(set);
                "works".to_owned()
            }
            Err(error) => error.to_string(),
        };
        println!("hooks     {set}: {says}");
    }
    if let Some(set) = chosen {
        println!("usable    yes, with the hooks at {set}");
        Ok(ExitCode::SUCCESS)
    } else {
        println!("usable    no");
        Ok(ExitCode::FAILURE)
    }
}
