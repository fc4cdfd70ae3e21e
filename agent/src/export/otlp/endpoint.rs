//! Where to send: the endpoint URLs by the rules of the OTLP exporter specification.
//!
//! A URL may hold credentials; no error here repeats any part of it.

use std::fmt;

use hyper::Uri;

/// A checked `http` or `https` URL without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint(Uri);

/// Why a text is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EndpointError {
    #[error("not a URL")]
    NotUrl,
    #[error("the scheme is neither http nor https")]
    Scheme,
    #[error("credentials belong into OTEL_EXPORTER_OTLP_HEADERS, not into the URL")]
    Credentials,
}

impl Endpoint {
    pub(super) const fn uri(&self) -> &Uri {
        &self.0
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.0.port_u16()
    }

    fn parse(text: &str) -> Result<Self, EndpointError> {
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        if !["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) {
            return Err(EndpointError::Scheme);
        }
        let uri: Uri = text.parse().map_err(|_| EndpointError::NotUrl)?;
        let authority = uri.authority().ok_or(EndpointError::NotUrl)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Credentials);
        }
        if authority.host().is_empty() {
            return Err(EndpointError::NotUrl);
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the query: some services take keys there.
        let scheme = self.0.scheme_str().unwrap_or("http");
        let authority = self.0.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

/// Of `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` over HTTP: as it stands; no path is `/`.
pub(super) fn http_as_is(text: &str) -> Result<Endpoint, EndpointError> {
    Endpoint::parse(text)
}

/// Of `OTEL_EXPORTER_OTLP_ENDPOINT` over HTTP: `v1/traces` is added to the path.
pub(super) fn http_base(text: &str) -> Result<Endpoint, EndpointError> {
    let base = Endpoint::parse(text)?;
    let path = base.0.path().trim_end_matches('/');
    let query = base.0.query().map(|q| format!("?{q}")).unwrap_or_default();
    let mut parts = base.0.clone().into_parts();
    let joined = format!("{path}/v1/traces{query}");
    parts.path_and_query = Some(joined.parse().map_err(|_| EndpointError::NotUrl)?);
    Uri::from_parts(parts).map(Endpoint).map_err(|_| EndpointError::NotUrl)
}

/// Over gRPC: scheme and authority count; without a scheme it is TLS unless `insecure`.
pub(super) fn grpc(text: &str, insecure: bool) -> Result<Endpoint, EndpointError> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else if insecure {
        format!("http://{text}")
    } else {
        format!("https://{text}")
    };
    let mut parts = Endpoint::parse(&whole)?.0.into_parts();
    parts.path_and_query = Some(hyper::http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map(Endpoint).map_err(|_| EndpointError::NotUrl)
}

/// When none is set.
pub(super) fn default(grpc: bool) -> Endpoint {
    Endpoint(if grpc {
        Uri::from_static("http://localhost:4317/")
    } else {
        Uri::from_static("http://localhost:4318/v1/traces")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> String {
        http_base(text).unwrap().0.to_string()
    }

    #[test]
    fn a_base_gets_the_signals_path() {
        assert_eq!(base("http://c"), "http://c/v1/traces");
        assert_eq!(base("http://c/"), "http://c/v1/traces");
        assert_eq!(base("https://c:44/otlp"), "https://c:44/otlp/v1/traces");
        assert_eq!(base("https://c:44/otlp/?k=1"), "https://c:44/otlp/v1/traces?k=1");
        assert_eq!(base("http://[::1]:4318"), "http://[::1]:4318/v1/traces");
    }

    #[test]
    fn a_grpc_endpoint_is_scheme_and_authority() {
        assert_eq!(grpc("http://c:1/some/path", false).unwrap().0.to_string(), "http://c:1/");
        assert_eq!(grpc("c:1", false).unwrap().0.to_string(), "https://c:1/");
        assert_eq!(grpc("c:1", true).unwrap().0.to_string(), "http://c:1/");
    }

    #[test]
    fn what_is_not_an_endpoint_is_refused() {
        use EndpointError::{Credentials, NotUrl, Scheme};
        for (text, why) in [
            ("c:4318", Scheme),
            ("/v1/traces", Scheme),
            ("ftp://c", Scheme),
            ("unix:///run/x", Scheme),
            ("http://", NotUrl),
            ("http://a b", NotUrl),
            ("http://:80", NotUrl),
            ("http://u:p@c", Credentials),
        ] {
            assert_eq!(http_base(text), Err(why), "{text}");
            assert_eq!(http_as_is(text), Err(why), "{text}");
        }
    }

    #[test]
    fn the_query_is_not_shown() {
        assert_eq!(http_as_is("http://c/x?key=secret").unwrap().to_string(), "http://c/x");
    }
}
