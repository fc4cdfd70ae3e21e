//! scratch
use spanwire::{
    input::Input,
    kernel::{capture::Capture, features::Kernel, hooks::HookSet, load},
};
fn main() -> anyhow::Result<()> {
    let hooks = std::env::args().nth(1).map(|s| match s.as_str() {
        "locked" => HookSet::Locked,
        "length" => HookSet::Length,
        _ => HookSet::Syscall,
    });
    let kernel = Kernel::examine()?;
    let probes =
        load::load(&kernel, &load::Options { hooks, data_ring: load::DATA_RING, seed: [1, 2] })?;
    println!("attached {} refused {:?}", probes.hooks, probes.refused);
    let mut capture = Capture::new(probes);
    let stop = std::io::stdin();
    for _ in 0..500 {
        capture.wait(&stop);
        capture.drain(|input| match input {
            Input::Data(h, p) => {
                println!("{h:?} {:?}", String::from_utf8_lossy(&p[..p.len().min(300)]))
            }
            other => println!("{other:?}"),
        });
    }
    println!("{:?}", spanwire::kernel::counters::snapshot(capture.probes()));
    Ok(())
}
