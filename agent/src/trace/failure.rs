//! Why an exchange failed, as `error.type`: a fixed set of words, whatever peers send.

use crate::exchange::Failure;

/// A failure's word. What we failed to see is no error of the application.
pub(in crate::trace) const fn error_type(failure: Failure) -> Option<&'static str> {
    match failure {
        Failure::ConnectionReset => Some("connection_reset"),
        Failure::ConnectionClosed => Some("connection_closed"),
        Failure::Timeout => Some("timeout"),
        // Whether the caller gave up on purpose cannot be known from outside; most do because of a timeout.
        Failure::Cancelled => Some("cancelled"),
        Failure::StreamReset(code) => Some(reset(code)),
        Failure::Unseen => None,
    }
}

/// The error codes of HTTP/2 (RFC 9113 §7), in lower case.
const fn reset(code: u32) -> &'static str {
    match code {
        0x0 => "no_error",
        0x1 => "protocol_error",
        0x2 => "internal_error",
        0x3 => "flow_control_error",
        0x4 => "settings_timeout",
        0x5 => "stream_closed",
        0x6 => "frame_size_error",
        0x7 => "refused_stream",
        0x8 => "cancelled",
        0x9 => "compression_error",
        0xa => "connect_error",
        0xb => "enhance_your_calm",
        0xc => "inadequate_security",
        0xd => "http_1_1_required",
        _ => "stream_reset",
    }
}
