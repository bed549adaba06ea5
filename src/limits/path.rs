//! Paths of the rules: `messages[].content[].text`. `[]` is every element, `*` every member, the empty path the body itself.

use super::tree::Node;

/// Position of a value: the number of the child at each step.
pub(super) type Trail = Vec<usize>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Elements,
    Members,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    pub(super) fn parse(text: &str) -> Path {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let name = part.trim_end_matches("[]");
            match name {
                "" => {}
                "*" => steps.push(Step::Members),
                name => steps.push(Step::Member(name.to_owned())),
            }
            let elements = (part.len() - name.len()) / 2;
            steps.extend(std::iter::repeat_n(Step::Elements, elements));
        }
        Path(steps)
    }

    /// Name of the last member.
    pub(super) fn leaf(&self) -> &str {
        let last = self.0.iter().rev().find_map(|step| match step {
            Step::Member(name) => Some(name.as_str()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    /// Name of the first member, which is a field of the body.
    pub(super) fn root(&self) -> &str {
        match self.0.first() {
            Some(Step::Member(name)) => name,
            _ => "",
        }
    }

    /// Member names, joined with dots.
    pub(super) fn dotted(&self) -> String {
        let names = self.0.iter().filter_map(|step| match step {
            Step::Member(name) => Some(name.as_str()),
            Step::Elements | Step::Members => None,
        });
        names.collect::<Vec<_>>().join(".")
    }

    /// Trails of all values at the path; null counts as absent.
    pub(super) fn trails(&self, body: &Node<'_>) -> Vec<Trail> {
        let (mut found, mut trail) = (Vec::new(), Vec::new());
        walk(body, &self.0, &mut trail, &mut |_, trail| {
            found.push(trail.to_vec());
        });
        found
    }

    /// Values at the path, where the part that it shares with `own` means the same elements as in `trail`.
    pub(super) fn bound<'n, 't>(
        &self,
        body: &'n Node<'t>,
        own: &Path,
        trail: &[usize],
    ) -> Vec<&'n Node<'t>> {
        let shared = self.0.iter().zip(&own.0).take(trail.len());
        let shared = shared.take_while(|(step, other)| step == other).count();
        let (mut found, mut below) = (Vec::new(), Vec::new());
        if let Some(start) = body.at(&trail[..shared]) {
            walk(start, &self.0[shared..], &mut below, &mut |node, _| {
                found.push(node)
            });
        }
        found
    }
}

fn walk<'n, 't>(
    node: &'n Node<'t>,
    steps: &[Step],
    trail: &mut Trail,
    found: &mut dyn FnMut(&'n Node<'t>, &[usize]),
) {
    let Some((step, rest)) = steps.split_first() else {
        return found(node, trail);
    };
    for (number, (name, child)) in node.children().enumerate() {
        let is_selected = match step {
            Step::Member(wanted) => name == Some(wanted.as_str()),
            Step::Elements => name.is_none(),
            Step::Members => name.is_some(),
        };
        if is_selected && !child.is_null() {
            trail.push(number);
            walk(child, rest, trail, found);
            trail.pop();
        }
    }
}
