//! The kernel inside a `vmlinuz`: booted uncompressed, because an emulated CPU takes seconds to unpack it.
//!
//! The header is the x86 boot protocol's (Documentation/arch/x86/boot.rst).

use std::io::Read;

use anyhow::{Context, Result, bail};

/// Largest image that is believed: kernels are some tens of megabytes.
const LARGEST: u64 = 512 << 20;

/// The ELF image in a `vmlinuz` that is compressed with LZ4 or Zstandard, as Debian's are.
pub(crate) fn uncompressed(vmlinuz: &[u8]) -> Result<Vec<u8>> {
    let payload = payload(vmlinuz).context("this is no x86 Linux kernel")?;
    let image = match payload.first_chunk::<4>() {
        Some([0x02, 0x21, 0x4c, 0x18]) => lz4(payload)?,
        Some([0x28, 0xb5, 0x2f, 0xfd]) => zstandard(payload)?,
        other => bail!("the kernel is compressed in a way not known here ({other:x?})"),
    };
    if !image.starts_with(b"\x7fELF") {
        bail!("what the kernel was compressed from is no ELF file");
    }
    Ok(image)
}

/// The compressed part, followed by its uncompressed length in four bytes.
fn payload(vmlinuz: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(*vmlinuz.get(at..)?.first_chunk()?) as usize);
    // setup_sects; 0 means 4. The protected-mode code begins after them and the boot sector.
    let sectors = match *vmlinuz.get(0x1f1)? {
        0 => 4,
        count => usize::from(count),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    let end = start + word(0x24c)?;
    vmlinuz.get(start..end.checked_sub(4)?)
}

/// The legacy frame of LZ4: a magic number, then blocks of at most 8 MiB, each behind its compressed length.
fn lz4(payload: &[u8]) -> Result<Vec<u8>> {
    const BLOCK: usize = 8 << 20;
    let mut rest = &payload[4..];
    let mut image = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let block = behind
            .get(..u32::from_le_bytes(*length) as usize)
            .context("an LZ4 block is cut short")?;
        image.extend(lz4_flex::block::decompress(block, BLOCK).context("an LZ4 block is damaged")?);
        rest = &behind[block.len()..];
    }
    Ok(image)
}

fn zstandard(payload: &[u8]) -> Result<Vec<u8>> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(payload)
        .context("the Zstandard frame is damaged")?;
    let mut image = Vec::new();
    decoder.take(LARGEST).read_to_end(&mut image).context("the Zstandard frame is damaged")?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `vmlinuz` with this payload behind one setup sector.
    fn vmlinuz(payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 1024];
        file[0x1f1] = 1;
        file[0x24c..0x250].copy_from_slice(&(payload.len() as u32 + 4).to_le_bytes());
        file.extend(payload);
        file.extend([0; 4]);
        file
    }

    #[test]
    fn blocks_of_lz4_become_one_image() {
        let mut frame = vec![0x02, 0x21, 0x4c, 0x18];
        for part in [&b"\x7fELF and "[..], b"the rest"] {
            let block = lz4_flex::block::compress(part);
            frame.extend((block.len() as u32).to_le_bytes());
            frame.extend(block);
        }
        assert_eq!(uncompressed(&vmlinuz(&frame)).unwrap(), b"\x7fELF and the rest");
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(uncompressed(b"").is_err());
        assert!(uncompressed(&vmlinuz(b"gzip, say")).is_err());
        assert!(uncompressed(&vmlinuz(&[0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3])).is_err());
        assert!(uncompressed(&vmlinuz(&[0x02, 0x21, 0x4c, 0x18, 255, 255, 0, 0])).is_err());
    }
}
