//! Names of Erlang and Elixir programs: the node's, which every release has.

/// What stands before the `@` of `-sname` or `-name`.
pub(super) fn name(arguments: &[String]) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == "-sname" || argument == "-name")?;
    let node = arguments.get(at + 1)?.split('@').next().unwrap_or_default();
    (!node.is_empty()).then(|| node.to_owned())
}
