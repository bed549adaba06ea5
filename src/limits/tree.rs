//! JSON document as a tree over its bytes. Parts that were not changed are written as they were read: numbers, spaces, escapes.

use std::borrow::Cow;

/// Deeper values are kept as text.
const DEPTH_MAX: usize = 64;

/// A value and its text; objects and arrays have children.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    text: Cow<'t, str>,
    children: Children<'t>,
    is_changed: bool,
}

#[derive(Clone, Debug)]
enum Children<'t> {
    None,
    Members(Vec<Member<'t>>),
    Elements(Vec<Node<'t>>),
}

#[derive(Clone, Debug)]
struct Member<'t> {
    /// with quotes, as written
    key: Cow<'t, str>,
    name: Cow<'t, str>,
    node: Node<'t>,
}

impl<'t> Node<'t> {
    /// Reads one document; `None` if it is not JSON.
    pub(super) fn read(text: &'t str) -> Option<Node<'t>> {
        let mut reader = Reader { text, at: 0 };
        let node = reader.value(DEPTH_MAX)?;
        reader.spaces();
        (reader.at == text.len()).then_some(node)
    }

    /// A value without readable children, written as given.
    pub(super) fn written(json: String) -> Node<'static> {
        Node {
            text: json.into(),
            children: Children::None,
            is_changed: false,
        }
    }

    pub(super) fn text_value(text: &str) -> Node<'static> {
        Node::written(serde_json::Value::from(text).to_string())
    }

    pub(super) fn is_null(&self) -> bool {
        self.text == "null"
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.children, Children::Members(_)) || self.text.starts_with('{')
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.children, Children::Elements(_)) || self.text.starts_with('[')
    }

    pub(super) fn is_text(&self) -> bool {
        self.text.starts_with('"')
    }

    /// Text of a string.
    pub(super) fn string(&self) -> Option<Cow<'_, str>> {
        if !self.is_text() {
            return None;
        }
        let inner = &self.text[1..self.text.len() - 1];
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str::<String>(&self.text)
            .ok()
            .map(Cow::Owned)
    }

    pub(super) fn number(&self) -> Option<f64> {
        self.text
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
    }

    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let mut text = String::new();
        self.write(&mut text);
        serde_json::from_str(&text).ok()
    }

    /// Type of the value in JSON.
    pub(super) fn kind(&self) -> &'static str {
        match self.text.as_bytes().first() {
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b'"') => "string",
            Some(b't' | b'f') => "boolean",
            _ => "number",
        }
    }

    /// Number of members or elements; one for any other value.
    pub(super) fn size(&self) -> usize {
        match &self.children {
            Children::None => 1,
            Children::Members(members) => members.len(),
            Children::Elements(elements) => elements.len(),
        }
    }

    /// Bytes of the value as it is written.
    pub(super) fn bytes(&self) -> usize {
        let mut text = String::new();
        self.write(&mut text);
        text.len()
    }

    /// Children in order; members with their names.
    pub(super) fn children(&self) -> Box<dyn Iterator<Item = (Option<&str>, &Node<'t>)> + '_> {
        match &self.children {
            Children::None => Box::new(std::iter::empty()),
            Children::Members(members) => Box::new(
                members
                    .iter()
                    .map(|member| (Some(&*member.name), &member.node)),
            ),
            Children::Elements(elements) => Box::new(elements.iter().map(|node| (None, node))),
        }
    }

    /// Member of an object; null counts as absent.
    pub(super) fn member(&self, name: &str) -> Option<&Node<'t>> {
        let mut members = self.children().filter(|(known, _)| *known == Some(name));
        members
            .next()
            .map(|(_, node)| node)
            .filter(|node| !node.is_null())
    }

    pub(super) fn at(&self, trail: &[usize]) -> Option<&Node<'t>> {
        let Some((first, rest)) = trail.split_first() else {
            return Some(self);
        };
        match &self.children {
            Children::None => None,
            Children::Members(members) => members.get(*first)?.node.at(rest),
            Children::Elements(elements) => elements.get(*first)?.at(rest),
        }
    }

    /// The value at a trail for a change; everything above it is written anew.
    pub(super) fn change(&mut self, trail: &[usize]) -> Option<&mut Node<'t>> {
        self.is_changed = true;
        let Some((first, rest)) = trail.split_first() else {
            return Some(self);
        };
        match &mut self.children {
            Children::None => None,
            Children::Members(members) => members.get_mut(*first)?.node.change(rest),
            Children::Elements(elements) => elements.get_mut(*first)?.change(rest),
        }
    }

    /// Children of an object or array for a change.
    pub(super) fn change_children(&mut self) -> Vec<(Option<&str>, &mut Node<'t>)> {
        self.is_changed = true;
        let children: Vec<(Option<&str>, &mut Node<'t>)> = match &mut self.children {
            Children::None => Vec::new(),
            Children::Members(members) => members
                .iter_mut()
                .map(|member| (Some(&*member.name), &mut member.node))
                .collect(),
            Children::Elements(elements) => elements.iter_mut().map(|node| (None, node)).collect(),
        };
        children
    }

    pub(super) fn replace(&mut self, node: Node<'t>) {
        *self = node;
    }

    /// Removes the members that are not kept; returns their names.
    pub(super) fn retain_members(&mut self, keep: impl Fn(&str) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        if let Children::Members(members) = &mut self.children {
            members.retain(|member| {
                let is_kept = keep(&member.name);
                if !is_kept {
                    removed.push(member.name.clone().into_owned());
                }
                is_kept
            });
        }
        self.is_changed |= !removed.is_empty();
        removed
    }

    pub(super) fn remove_child(&mut self, number: usize) {
        self.is_changed = true;
        match &mut self.children {
            Children::Members(members) if number < members.len() => {
                members.remove(number);
            }
            Children::Elements(elements) if number < elements.len() => {
                elements.remove(number);
            }
            _ => {}
        }
    }

    pub(super) fn insert_element(&mut self, number: usize, node: Node<'t>) {
        if let Children::Elements(elements) = &mut self.children {
            elements.insert(number.min(elements.len()), node);
            self.is_changed = true;
        }
    }

    /// Sets a member of an object, at its end if it is new.
    pub(super) fn set_member(&mut self, name: &str, node: Node<'t>) {
        let Children::Members(members) = &mut self.children else {
            return;
        };
        self.is_changed = true;
        match members.iter_mut().find(|member| member.name == name) {
            Some(member) => member.node = node,
            None => members.push(Member {
                key: serde_json::Value::from(name).to_string().into(),
                name: name.to_owned().into(),
                node,
            }),
        }
    }

    pub(super) fn write(&self, out: &mut String) {
        match &self.children {
            _ if !self.is_changed => out.push_str(&self.text),
            Children::None => out.push_str(&self.text),
            Children::Members(members) => {
                out.push('{');
                for (number, member) in members.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    out.push_str(&member.key);
                    out.push(':');
                    member.node.write(out);
                }
                out.push('}');
            }
            Children::Elements(elements) => {
                out.push('[');
                for (number, element) in elements.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    element.write(out);
                }
                out.push(']');
            }
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node<'t>> {
        self.spaces();
        let start = self.at;
        let children = match self.peek()? {
            b'{' | b'[' if depth == 0 => {
                self.skip_nested()?;
                Children::None
            }
            b'{' => Children::Members(self.members(depth)?),
            b'[' => Children::Elements(self.elements(depth)?),
            b'"' => {
                self.skip_string()?;
                Children::None
            }
            _ => {
                self.skip_word();
                Children::None
            }
        };
        let text = &self.text[start..self.at];
        (!text.is_empty()).then_some(Node {
            text: Cow::Borrowed(text),
            children,
            is_changed: false,
        })
    }

    fn members(&mut self, depth: usize) -> Option<Vec<Member<'t>>> {
        let mut members = Vec::new();
        self.at += 1;
        loop {
            self.spaces();
            match self.peek()? {
                b'}' => {
                    self.at += 1;
                    return Some(members);
                }
                b',' => self.at += 1,
                b'"' => {
                    let start = self.at;
                    self.skip_string()?;
                    let key = &self.text[start..self.at];
                    let name = serde_json::from_str::<String>(key).ok()?;
                    self.spaces();
                    if self.peek()? != b':' {
                        return None;
                    }
                    self.at += 1;
                    let node = self.value(depth - 1)?;
                    let (key, name) = (Cow::Borrowed(key), Cow::Owned(name));
                    members.push(Member { key, name, node });
                }
                _ => return None,
            }
        }
    }

    fn elements(&mut self, depth: usize) -> Option<Vec<Node<'t>>> {
        let mut elements = Vec::new();
        self.at += 1;
        loop {
            self.spaces();
            match self.peek()? {
                b']' => {
                    self.at += 1;
                    return Some(elements);
                }
                b',' => self.at += 1,
                _ => elements.push(self.value(depth - 1)?),
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += memchr::memchr2(b'"', b'\\', rest)?;
            if self.peek()? == b'"' {
                self.at += 1;
                return Some(());
            }
            self.at += 2;
        }
    }

    fn skip_word(&mut self) {
        while self
            .peek()
            .is_some_and(|byte| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
    }

    fn skip_nested(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Some(());
            }
        }
    }
}
