//! `spanwire doctor`: what this kernel allows, and so which features are on.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;

use crate::{
    cli::DoctorArgs,
    config::Settings,
    insertion::trial,
    kernel::{
        features::Kernel,
        hooks::{HookSet, LIFECYCLE, Second},
        insert,
        load::{self, LoadError, Options},
        wire::{self, Sampling, Wire},
    },
    run, status,
};

/// Prints the table; the exit code says whether this host can be traced.
///
/// # Errors
///
/// When the running agent cannot be asked (`--live`), or why this host cannot be traced.
pub fn doctor(args: &DoctorArgs, settings: &Settings) -> Result<ExitCode> {
    if args.live {
        let now = status::live(std::path::Path::new(status::RUN_DIRECTORY))?;
        say(&now.counters.table())?;
        say(&status::table(&now.open))?;
        return Ok(ExitCode::SUCCESS);
    }
    let kernel = Kernel::examine()?;
    say(&format!("kernel    {}.{}\n", kernel.version.0, kernel.version.1))?;
    say(&format!("lockdown  {}\n", kernel.lockdown.as_deref().unwrap_or("not known")))?;
    say("BTF       yes\n")?;
    // The best set that works, and what is off in it. No two sets are attached at once.
    let mut tried = String::new();
    let mut chosen: Option<(HookSet, Vec<(&str, String)>)> = None;
    for set in HookSet::ALL {
        let options = Options {
            hooks: Some(set),
            data_ring: load::DATA_RING,
            seed: [0; 2],
            network_namespace: None,
            wire: Some(Wire::default()),
            insert: run::insert(settings),
            channels: settings.rules.has(abi::runtime::Rule::GoChannel),
            sampling: Sampling::default(),
        };
        let says = match load::load(&kernel, &options) {
            Ok(mut probes) => {
                if let Some(mut enrolment) = probes.enrolment.take().filter(|_| chosen.is_none()) {
                    match trial::run(&mut enrolment).result {
                        Ok(notes) => tried = format!("on, by sockhash and sk_msg; {notes}"),
                        Err(why) => probes.off.push((insert::FEATURE, why)),
                    }
                }
                chosen.get_or_insert((set, probes.off));
                "works".to_owned()
            }
            Err(LoadError::NoHooks(tried)) => {
                tried.into_iter().map(|(_, why)| format!("off, {why}")).collect()
            }
            Err(error) => error.to_string(),
        };
        say(&format!("hooks     {set}: {says}\n"))?;
    }
    let optional = LIFECYCLE.iter().filter_map(|program| program.feature);
    let second = kernel.is_preemptible().then_some(Second::FEATURE);
    for feature in optional.chain(second).chain(wire::FEATURES).chain([insert::FEATURE]) {
        let off = chosen.iter().flat_map(|(_, off)| off).find(|(off, _)| *off == feature);
        let on = if feature == insert::FEATURE { &tried } else { "on" };
        let says = off.map_or_else(|| on.to_owned(), |(_, why)| format!("off, {why}"));
        say(&format!("feature   {feature}: {says}\n"))?;
    }
    for (what, has, without) in kernel.offers() {
        let says = if has { "yes" } else { without };
        let no = if has { "" } else { "no, " };
        say(&format!("offers    {what}: {no}{says} (not needed)\n"))?;
    }
    if let Some((set, _)) = chosen {
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
