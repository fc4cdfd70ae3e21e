//! The compiled kernel probes, as bytes inside this binary, so that the agent is one file.
//!
//! `build.rs` says where they come from. Of what is in them only the marks of [`abi::kfunc`] are known here.

use abi::kfunc::{self, NOTHING, call};
use zerocopy::IntoBytes;

use super::{features::Kernel, hooks::CAST, insert};

/// The eBPF object as this kernel must be given it, 8-byte aligned as its readers need it.
pub struct Fitted(Vec<u64>);

impl Fitted {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The eBPF object for a kernel, with what it takes to insert contexts into requests if that `inserts`.
#[must_use]
pub fn fitted(kernel: &Kernel, inserts: bool) -> Fitted {
    let function = |name| kernel.types.function(name);
    let preempt = function("bpf_preempt_disable").zip(function("bpf_preempt_enable"));
    let calls = |functions: Option<(u32, u32)>| {
        functions.map_or((NOTHING, NOTHING), |(disable, enable)| (call(disable), call(enable)))
    };
    let (disable, enable) = calls(preempt.filter(|_| kernel.is_preemptible()));
    let (disable_early, enable_early) = calls(preempt);
    let marks = [
        (kfunc::PREEMPT_DISABLE, disable),
        (kfunc::PREEMPT_ENABLE, enable),
        (kfunc::PREEMPT_DISABLE_EARLY, disable_early),
        (kfunc::PREEMPT_ENABLE_EARLY, enable_early),
        (kfunc::RDONLY_CAST, function(CAST).map_or(NOTHING, call)),
    ];
    let probes = probes();
    let mut words = vec![0u64; probes.len().div_ceil(8)];
    words.as_mut_bytes()[..probes.len()].copy_from_slice(probes);
    kfunc::replace(words.as_mut_bytes(), &marks);
    if !inserts {
        insert::leave_out_sockets(words.as_mut_bytes());
    }
    Fitted(words)
}

/// The eBPF object (ELF64), 8-byte aligned as its readers need it; empty when the binary was compiled with
/// `SPANWIRE_NO_PROBES=1`. With its marks, no kernel takes it: see [`fitted`].
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
