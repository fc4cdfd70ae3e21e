//! The exporter over TLS: a private authority, client certificates, and refusing what is neither.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::*;

/// An authority of our own, and what it has signed.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem())
            .unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Signs for a name, and writes NAME.pem and NAME.key.
    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A server called `localhost` that this authority has signed; `asks` clients for its certificates.
    fn server(&self, protocol: Protocol, asks: bool) -> Server {
        self.sign("localhost");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.path("ca.pem"))).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path("localhost.key")).unwrap();
        let chain = vec![certificate(&self.path("localhost.pem"))];
        let mut config = builder.with_single_cert(chain, key).unwrap();
        let grpc = protocol == Protocol::Grpc;
        config.alpn_protocols = vec![if grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Server::over_tls(grpc, config)
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

fn endpoint(server: &Server) -> String {
    format!("https://localhost:{}", server.address.port())
}

#[test]
fn a_private_authority_is_trusted_and_nobody_else_then() {
    let ours = Authority::new();
    let other = Authority::new();
    for protocol in EVERY {
        let server = ours.server(protocol, false);
        let to = endpoint(&server);
        for (authority, is_trusted) in [(&ours, true), (&other, false)] {
            let ca = authority.text("ca.pem");
            let vars = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", to.as_str()),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str()),
            ];
            let exporter = exporter(protocol, server.address, &vars);
            exporter.offer(spans(1..=10));
            let totals = until(&exporter, |t| t.sent == 10 || t.failed_attempts > 0);
            assert_eq!(totals.sent == 10, is_trusted, "{protocol}: {totals:?}");
        }
        assert_eq!(server.rest().len(), 1, "{protocol}");
    }
}

#[test]
fn a_server_that_asks_gets_our_certificate() {
    let ours = Authority::new();
    ours.sign("agent");
    let [ca, chain, key] = ["ca.pem", "agent.pem", "agent.key"].map(|name| ours.text(name));
    for protocol in EVERY {
        let server = ours.server(protocol, true);
        let to = endpoint(&server);
        let plain = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", to.as_str()),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str()),
        ];
        let identity = [
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", chain.as_str()),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str()),
        ];
        let without = exporter(protocol, server.address, &plain);
        without.offer(spans(1..=10));
        let totals = until(&without, |t| t.failed_attempts > 0);
        assert_eq!(totals.sent, 0, "{protocol}");
        drop(without);
        let with = exporter(protocol, server.address, &[plain, identity].concat());
        with.offer(spans(1..=10));
        until(&with, |t| t.sent == 10);
        assert_eq!(server.rest().len(), 1, "{protocol}");
    }
}
