//! Long work with what is sent, in pieces between which others have the CPU: a batch is a megabyte or two, which takes
//! milliseconds to be compressed, and to be copied by the kernel.
//!
//! What comes out is what would come out in one go.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use flate2::{Compression, write::GzEncoder};
use hyper::body::{Body, Frame, SizeHint};
use tonic::codegen::Bytes;

use crate::courtesy;

/// Bytes compressed in one go: some tens of µs.
const COMPRESSED: usize = 4 << 10;
/// Bytes handed to a connection in one go: as much.
const SENT: usize = 64 << 10;

/// A whole gzip file of these bytes (RFC 1952), as quickly as it can be had.
///
/// # Errors
///
/// None that memory has.
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in bytes.chunks(COMPRESSED) {
        courtesy::offer();
        encoder.write_all(piece)?;
    }
    encoder.finish()
}

/// A request's body of known length.
pub(super) struct Pieces(pub(super) Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        courtesy::offer();
        let len = self.0.len().min(SENT);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt as _;

    use super::*;

    /// More than two pieces of each kind, and no whole number of them.
    fn bytes() -> Vec<u8> {
        (0..2 * SENT + COMPRESSED + 1).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn a_file_in_pieces_is_one_file() {
        for len in [0, 1, COMPRESSED, bytes().len()] {
            let packed = gzip(&bytes()[..len]).unwrap();
            let mut out = Vec::new();
            let mut decoder = GzDecoder::new(&*packed);
            decoder.read_to_end(&mut out).unwrap();
            assert_eq!(out, bytes()[..len]);
            assert!(decoder.into_inner().is_empty(), "nothing comes behind it");
        }
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_one_body_of_known_length() {
        let mut body = Pieces(bytes().into());
        assert_eq!(body.size_hint().exact(), Some(bytes().len() as u64));
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        assert!(body.is_end_stream());
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [SENT, SENT, COMPRESSED + 1]);
        assert_eq!(pieces.concat(), bytes());
    }
}
