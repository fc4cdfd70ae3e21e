//! What a process's own environment says about its service: the `OTEL_*` variables of the OpenTelemetry specification.

use crate::service::ProcessFacts;

/// The part of `OTEL_*` that describes a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// `OTEL_RESOURCE_ATTRIBUTES` in order, with `service.name` replaced by `OTEL_SERVICE_NAME` where both are set.
    pub attributes: Vec<(String, String)>,
}

impl Environment {
    /// Reads the variables of a process. Empty ones are unset.
    pub(super) fn of(facts: &ProcessFacts) -> Self {
        let variable = |name: &str| {
            facts
                .otel
                .iter()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value.as_str())
        };
        let mut attributes =
            variable("OTEL_RESOURCE_ATTRIBUTES").and_then(parse).unwrap_or_default();
        if let Some(name) = variable("OTEL_SERVICE_NAME") {
            attributes.retain(|(key, _)| key != "service.name");
            attributes.push(("service.name".to_owned(), name.to_owned()));
        }
        Self { attributes }
    }

    /// The last value of a key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// `key=value,key=value`, percent-decoded; any error spoils all of it (Resource SDK, "Specifying resource information
/// via an environment variable").
fn parse(text: &str) -> Option<Vec<(String, String)>> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = decoded(key.trim())?;
            (!key.is_empty()).then_some(())?;
            Some((key, decoded(value.trim())?))
        })
        .collect()
}

/// Percent-decoded; `None` when an escape is broken or the result is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            out.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        let otel =
            variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Environment::of(&ProcessFacts { otel, ..ProcessFacts::default() })
    }

    fn attributes(text: &str) -> Vec<(String, String)> {
        read(&[("OTEL_RESOURCE_ATTRIBUTES", text)]).attributes
    }

    #[test]
    fn pairs_are_decoded() {
        let expected =
            vec![("a".to_owned(), "1".to_owned()), ("b c".to_owned(), "2,=ü".to_owned())];
        assert_eq!(attributes("a=1, b%20c = 2%2C%3D%C3%BC ,"), expected);
        assert_eq!(attributes("a=b=c"), vec![("a".to_owned(), "b=c".to_owned())]);
    }

    #[test]
    fn any_error_spoils_all() {
        for text in ["a=1,b", "a=1,=2", "a=%", "a=1,b=%4", "a=%zz", "a=%ff", "%ff=1", "a=%+4"] {
            assert_eq!(attributes(text), vec![], "{text:?}");
        }
    }

    #[test]
    fn the_name_of_its_own_variable_wins() {
        let both =
            read(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,x=y"), ("OTEL_SERVICE_NAME", "b")]);
        assert_eq!(both.value("service.name"), Some("b"));
        assert_eq!(both.value("x"), Some("y"));
        let one =
            read(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=a"), ("OTEL_SERVICE_NAME", "")]);
        assert_eq!(one.value("service.name"), Some("a"));
    }
}
