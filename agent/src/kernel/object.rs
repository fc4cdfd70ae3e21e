//! The compiled kernel probes, as bytes inside this binary, so that the agent is one file.
//!
//! `build.rs` says where they come from. Nothing here may look at what is in them.

/// The eBPF object (ELF64), 8-byte aligned as its readers need it; empty when the binary was compiled with
/// `SPANWIRE_NO_PROBES=1`.
#[must_use]
pub fn probes() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probes.o"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_elf_object_for_bpf_is_embedded_aligned() {
        let probes = super::probes();
        if probes.is_empty() {
            return; // SPANWIRE_NO_PROBES=1
        }
        assert_eq!(probes.as_ptr().align_offset(8), 0);
        assert_eq!(&probes[..6], b"\x7fELF\x02\x01", "ELF, 64 bits, little endian");
        assert_eq!(probes[18..20], 247u16.to_le_bytes(), "e_machine is EM_BPF");
    }
}
