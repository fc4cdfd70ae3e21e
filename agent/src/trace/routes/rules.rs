//! Routes by the user's word.

/// One rule: requests of a service whose path fits a pattern have a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRule {
    /// Of which `service.name`; of every one if absent.
    pub service: Option<String>,
    /// Segments that must be equal, `{name}` for any one segment, and `*` at the end for any rest, none included.
    pub path: String,
    /// What is told; the pattern itself if absent, and nothing if empty.
    pub route: Option<String>,
}

impl RouteRule {
    /// Whether it is for this request.
    pub(super) fn matches(&self, service: &str, path: &str) -> bool {
        if self.service.as_ref().is_some_and(|only| only != service) {
            return false;
        }
        let mut here = path.split('/');
        for wanted in self.path.split('/') {
            match (wanted, here.next()) {
                ("*", _) => return true,
                (_, None) => return false,
                (wanted, Some(segment)) if is_any(wanted) => {
                    if segment.is_empty() {
                        return false;
                    }
                }
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        here.next().is_none()
    }

    /// What it tells.
    pub(super) fn route(&self) -> &str {
        self.route.as_deref().unwrap_or(&self.path)
    }
}

/// `{name}`
fn is_any(segment: &str) -> bool {
    segment.len() >= 2 && segment.starts_with('{') && segment.ends_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_matched_whole() {
        for (pattern, path, fits) in [
            ("/orders/{order}", "/orders/7", true),
            ("/orders/{order}", "/orders/", false),
            ("/orders/{order}", "/orders", false),
            ("/orders/{order}", "/orders/7/items", false),
            ("/orders/{order}/items", "/orders/7/items", true),
            ("/static/*", "/static/a/b.js", true),
            ("/static/*", "/static/", true),
            ("/static/*", "/static", true),
            ("/static/*", "/statics/x", false),
            ("*", "/anything", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/a/{}", "/a/b", true),
        ] {
            let rule = RouteRule { path: pattern.into(), ..RouteRule::default() };
            assert_eq!(rule.matches("shop", path), fits, "{pattern} {path}");
        }
        let one = RouteRule { service: Some("shop".into()), path: "*".into(), route: None };
        assert!(one.matches("shop", "/a") && !one.matches("cart", "/a"));
    }
}
