//! `spanwire doctor`: what this kernel allows, and so which features are on.
#![forbid(unsafe_code)]

use std::io::{self, Write};
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
        let counters = status::live(std::path::Path::new(status::RUN_DIRECTORY))?;
        say(&counters.table())?;
        return Ok(ExitCode::SUCCESS);
    }
    let kernel = Kernel::examine()?;
    say(&format!("kernel    {}.{}\n", kernel.version.0, kernel.version.1))?;
    say(&format!("lockdown  {}\n", kernel.lockdown.as_deref().unwrap_or("not known")))?;
    say("BTF       yes\n")?;
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
        say(&format!("hooks     {set}: {says}\n"))?;
    }
    if let Some(set) = chosen {
        say(&format!("usable    yes, with the hooks at {set}\n"))?;
        Ok(ExitCode::SUCCESS)
    } else {
        say("usable    no\n")?;
        Ok(ExitCode::FAILURE)
    }
}

/// Writes to standard output; a reader that has seen enough is no error.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
