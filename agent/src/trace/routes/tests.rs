//! Routes over many requests: what is learned, and what must never be.

use std::collections::HashMap;

use proptest::prelude::*;

use super::tree::{Found, Tree};
use super::*;

/// Lets a tree see a path, answered well; its route.
fn visit(tree: &mut Tree, path: &str) -> Option<String> {
    match tree.visit(path, true) {
        Found::Route(route) => Some(route),
        Found::Uncertain | Found::Full => None,
    }
}

/// What the last of many rounds over these paths is called; `{n}` is another number in each.
fn after(rounds: usize, paths: &[&str]) -> Vec<Option<String>> {
    let mut tree = Tree::default();
    let mut last = Vec::new();
    for round in 0..rounds {
        last = paths
            .iter()
            .map(|path| visit(&mut tree, &path.replace("{n}", &(1000 + round).to_string())))
            .collect();
    }
    last
}

fn some(routes: &[&str]) -> Vec<Option<String>> {
    routes.iter().map(|route| Some((*route).to_owned())).collect()
}

#[test]
fn an_ordinary_interface_is_learned() {
    let paths = [
        "/",
        "/checkout",
        "/orders",
        "/orders/{n}",
        "/orders/{n}/items",
        "/orders/{n}/items/{n}",
        "/orders/search",
        "/api/v1/customers/{n}",
        "/shop/carts/{n}",
        "/users/me",
        "/charges/",
    ];
    let expected = some(&[
        "/",
        "/checkout",
        "/orders",
        "/orders/{id}",
        "/orders/{id}/items",
        "/orders/{id}/items/{id}",
        "/orders/search",
        "/api/v1/customers/{id}",
        "/shop/carts/{id}",
        "/users/me",
        "/charges",
    ]);
    assert_eq!(after(200, &paths), expected);
    let begun = after(5, &paths);
    assert_eq!(begun[1], None, "off until sure");
}

#[test]
fn things_with_names_are_never_told_however_few_they_are() {
    let paths = ["/stock/teapot", "/stock/cup", "/users/alice", "/profile/bob", "/repos/acme/{n}"];
    for (path, route) in paths.iter().zip(after(2000, &paths)) {
        assert_eq!(route, None, "{path}");
    }
    // Customers are alike in what they have.
    let tenants = ["/acme/orders/{n}", "/globex/orders/{n}", "/initech/staff", "/globex/staff"];
    assert_eq!(after(2000, &tenants), [None, None, None, None]);
    // A person's name after an id is seen with a few ids at most.
    let team = ["/teams/17/alice", "/teams/18/alice"];
    assert_eq!(after(2000, &team), [None, None]);
}

#[test]
fn where_there_are_many_they_are_one() {
    let mut tree = Tree::default();
    let name = |n: usize| {
        let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
        format!("/blog/a{}e{}i{}", letter(n), letter(n / 26), letter(n / 676))
    };
    let told: Vec<_> = (0..500).map(|n| visit(&mut tree, &name(n))).collect();
    assert_eq!(told[20], None);
    assert_eq!(told[499].as_deref(), Some("/blog/{id}"));
    // At the top they may as well be the program's own parts.
    let told: Vec<_> = (0..500).map(|n| visit(&mut tree, &name(n)[5..])).collect();
    assert!(told.iter().all(Option::is_none));
}

#[test]
fn what_was_refused_teaches_nothing() {
    let mut tree = Tree::default();
    for _ in 0..500 {
        assert_eq!(tree.visit("/wp-login", false), Found::Uncertain);
        assert_eq!(tree.visit("/login", false), Found::Uncertain);
        assert_eq!(tree.visit("/7", false), Found::Uncertain);
    }
    assert_eq!(tree.len(), 1);
    // Once it is known it is told of failures, too.
    assert_eq!(visit(&mut tree, "/login").as_deref(), Some("/login"));
    assert_eq!(tree.visit("/login", false), Found::Route("/login".into()));
}

#[test]
fn odd_paths_have_no_route() {
    let mut tree = Tree::default();
    for path in ["*", "", "x", "/a/../login", "/./login", &"/1".repeat(13)] {
        assert_eq!(visit(&mut tree, path), None, "{path}");
    }
    assert_eq!(visit(&mut tree, "//login/").as_deref(), Some("/login"));
    assert_eq!(visit(&mut tree, "/login;jsessionid=1A2B").as_deref(), Some("/login"));
}

#[test]
fn a_rule_beats_what_was_learned_and_services_are_kept_apart() {
    let rule = |service: Option<&str>, path: &str, route: Option<&str>| RouteRule {
        service: service.map(str::to_owned),
        path: path.to_owned(),
        route: route.map(str::to_owned),
    };
    let rules = vec![
        rule(Some("shop"), "/stock/{item}", None),
        rule(None, "/login", Some("")),
        rule(None, "/r/{x}/*", Some("/r/…")),
    ];
    let mut routes = Routes::new(RouteSettings { learn: true, rules: rules.clone() });
    let mut counts = Counts::default();
    let mut of = |service: &str, path: &str| {
        let route = routes.of(service, path, Some(200), &mut counts);
        route.map(|route| (route.template, route.source))
    };
    let told = |template: &str, source| Some((template.to_owned(), source));
    assert_eq!(of("shop", "/stock/cup"), told("/stock/{item}", Source::Rule));
    assert_eq!(of("cart", "/stock/cup"), None);
    assert_eq!(of("shop", "/login"), None);
    assert_eq!(of("shop", "/r/a/b/c"), told("/r/…", Source::Rule));
    assert_eq!(of("shop", "/search"), told("/search", Source::Learned));
    let mut off = Routes::new(RouteSettings { learn: false, rules });
    assert_eq!(off.of("shop", "/search", Some(200), &mut counts), None);
    assert!(off.of("shop", "/stock/cup", None, &mut counts).is_some());
}

#[test]
fn services_are_bounded_and_counted() {
    let mut routes = Routes::new(RouteSettings::default());
    let mut counts = Counts::default();
    for n in 0..300 {
        let told = routes.of(&format!("s{n}"), "/login", Some(200), &mut counts);
        assert_eq!(told.is_some(), n < SERVICES, "{n}");
    }
    assert_eq!(counts.of(Count::RoutesFull), 300 - SERVICES as u64);
}

/// Ids as programs make them; none is a word.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,12}",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "[0-9a-f]{7}[0-9][0-9a-f]{16}",
        "[a-z]{2,8}-[0-9]{3,8}",
        "[A-Za-z0-9]{8}[0-9]{3}[A-Za-z0-9]{11}",
        "[a-z]{1,8}[0-9]",
        "[a-z]{2,8}@[a-z]{2,8}\\.[a-z]{2,3}",
        "[a-z]{2,6}(-[a-z]{2,6}){4,6}",
        "[a-z]{1,8}\\.(pdf|jpg|html)",
    ]
    .prop_filter("a program's own word", |id: &String| !words::is_known(id))
}

/// A request of an interface with nouns, ids, and people by their names.
fn request() -> impl Strategy<Value = (String, Vec<String>)> {
    let noun = || prop::sample::select(vec!["orders", "invoices", "parcels", "checkout"]);
    let person = || prop::sample::select(vec!["alice", "bob", "carol", "dave", "eve", "mallory"]);
    prop_oneof![
        (noun(), id()).prop_map(|(noun, id)| (format!("/{noun}/{id}"), vec![id])),
        (noun(), id(), noun())
            .prop_map(|(noun, id, sub)| (format!("/api/v1/{noun}/{id}/{sub}"), vec![id])),
        (noun(), id(), id())
            .prop_map(|(noun, one, two)| (format!("/{noun}/{one}/{two}"), vec![one, two])),
        person().prop_map(|person| (format!("/users/{person}"), vec![person.to_owned()])),
        (person(), id()).prop_map(|(person, id)| (
            format!("/users/{person}/{id}"),
            vec![person.to_owned(), id]
        )),
        (noun(), person())
            .prop_map(|(noun, person)| (format!("/{noun}/{person}"), vec![person.to_owned()])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_id_is_told_and_no_name_changes(
        requests in prop::collection::vec((request(), 0u8..10), 1..1000),
    ) {
        let mut tree = Tree::default();
        let mut names: HashMap<String, String> = HashMap::new();
        for ((path, ids), luck) in &requests {
            let Found::Route(route) = tree.visit(path, *luck > 0) else {
                prop_assert!(!names.contains_key(path), "{path} has lost its name");
                continue;
            };
            let segments: Vec<_> = route.split('/').collect();
            for id in ids {
                prop_assert!(!segments.contains(&id.as_str()), "{route} of {path}");
            }
            prop_assert_eq!(segments.len(), path.split('/').count());
            let before = names.entry(path.clone()).or_insert_with(|| route.clone());
            prop_assert_eq!(&*before, &route, "{} was renamed", path);
        }
    }

    #[test]
    fn any_paths_are_bounded_and_keep_their_names(
        paths in prop::collection::vec("(/[a-c]{0,2}[a-z0-9.~%-]{0,3}){0,5}", 1..1000),
    ) {
        let mut tree = Tree::default();
        let mut names: HashMap<&str, String> = HashMap::new();
        for path in &paths {
            match tree.visit(path, true) {
                Found::Route(route) => {
                    let before = names.entry(path).or_insert_with(|| route.clone());
                    prop_assert_eq!(&*before, &route);
                }
                Found::Uncertain | Found::Full => prop_assert!(!names.contains_key(path.as_str())),
            }
            prop_assert!(tree.len() <= 256);
        }
    }
}
