//! One TLS configuration for both transports: rustls with ring.
//!
//! A named file that cannot be used is an error at the start. It never falls back to something weaker.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The PEM files of `OTEL_EXPORTER_OTLP_CERTIFICATE` and its two companions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom to trust, instead of the host's own roots.
    pub certificate: Option<PathBuf>,
    /// Private key for mutual TLS.
    pub client_key: Option<PathBuf>,
    /// Certificate chain for mutual TLS.
    pub client_certificate: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One of key and certificate is missing.
    #[error(
        "OTEL_EXPORTER_OTLP_CLIENT_KEY and OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE go together; only one is set"
    )]
    HalfIdentity,
    /// The HTTP client cannot be built.
    #[error("HTTP client: {0}")]
    Client(String),
    /// Key and certificate do not fit.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The configuration for a client.
pub(super) fn client_config(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(files.certificate.as_deref())?);
    Ok(match (&files.client_certificate, &files.client_key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(chain), Some(key)) => {
            let key_of = PrivateKeyDer::from_pem_file(key).map_err(|e| file_error(key, &e))?;
            builder.with_client_auth_cert(certificates(chain)?, key_of)?
        }
        _ => return Err(TlsError::HalfIdentity),
    })
}

fn roots(certificate: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = certificate {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|e| file_error(path, &e))?;
        }
        return Ok(roots);
    }
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        // Not an error: most destinations are plain http on the same host.
        log::debug!("the host has no TLS root certificates ({} problems)", native.errors.len());
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match read {
        Ok(found) if found.is_empty() => {
            Err(TlsError::File { path: path.to_owned(), why: "holds no certificate".to_owned() })
        }
        Ok(found) => Ok(found),
        Err(error) => Err(file_error(path, &error)),
    }
}

fn file_error(path: &Path, error: &dyn std::error::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), why: chain(error) }
}

/// An error with its causes on one line: the outermost often says nothing but "error sending request".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "no certificate here").unwrap();
        let missing = dir.path().join("missing.pem");
        for path in [empty, missing] {
            let files = TlsFiles { certificate: Some(path.clone()), ..TlsFiles::default() };
            let error = client_config(&files).unwrap_err().to_string();
            assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        }
        let half = TlsFiles { client_key: Some("k".into()), ..TlsFiles::default() };
        assert!(matches!(client_config(&half), Err(TlsError::HalfIdentity)));
        assert!(client_config(&TlsFiles::default()).is_ok());
    }
}
