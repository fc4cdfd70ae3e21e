//! On what it was measured, in one line.

/// The line of the README's table: kernel, CPUs, and how much was sent.
pub(crate) fn line(requests: usize) -> anyhow::Result<String> {
    let name = rustix::system::uname();
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    Ok(format!(
        "{} {} {}, {count} CPUs; {requests} requests with each number of clients.",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy(),
        name.machine().to_string_lossy()
    ))
}
