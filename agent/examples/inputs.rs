//! Prints what a recording holds, an input a line: for looking into a bug report by eye.

use std::path::Path;

use spanwire::{input::Input, record::Reader};

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("usage: inputs RECORDING"))?;
    for input in Reader::open(Path::new(&file))? {
        match input? {
            Input::Data(header, payload) => {
                let (head, tail) = payload.split_at((header.head as usize).min(payload.len()));
                println!(
                    "{} {} conn {:x} {} at {} len {} no_data {} flags {} \"{}\" … \"{}\"",
                    header.time,
                    header.tgid,
                    header.connection,
                    if header.direction == 0 { "sent" } else { "received" },
                    header.position,
                    header.len,
                    header.no_data,
                    header.flags,
                    head.escape_ascii(),
                    tail.escape_ascii()
                );
            }
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
