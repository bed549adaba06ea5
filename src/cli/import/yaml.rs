//! YAML as a tree of nodes with their lines. Aliases are resolved; depth and size are bounded. Values may be secrets: no error repeats one.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Nested collections at most.
const DEPTH_MAX: usize = 64;
/// Nodes at most, aliases counted each time.
const NODES_MAX: usize = 200_000;

/// A value with the line that it begins on, from 1.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    /// text, number or boolean as written
    Scalar(String),
    List(Vec<Node>),
    /// in the order of the file
    Map(Vec<(String, Node)>),
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Node] {
        match &self.value {
            Value::List(list) => list,
            _ => &[],
        }
    }

    pub fn map(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(map) => map,
            _ => &[],
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        let found = self.map().iter().find(|(name, _)| name == key);
        found
            .map(|(_, node)| node)
            .filter(|node| !matches!(node.value, Value::Null))
    }
}

/// Parses the first document of a text. An error is the line and the cause.
pub(super) fn parse(text: &str) -> Result<Node, (usize, String)> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, line) => {
                return Err((line, "the file is empty".to_owned()));
            }
            (event, line) => return reader.node(event, line, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, usize), (usize, String)> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err((error.marker().line(), "invalid YAML".to_owned())),
            None => Err((0, "the file ends early".to_owned())),
        }
    }

    fn node(
        &mut self,
        event: Event<'t>,
        line: usize,
        depth: usize,
    ) -> Result<Node, (usize, String)> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err((
                line,
                "the file is nested too deeply or too large".to_owned(),
            ));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_null = matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = match style {
                    ScalarStyle::Plain if is_null => Value::Null,
                    _ => Value::Scalar(text.into_owned()),
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let known = known.ok_or_else(|| (line, "unknown alias".to_owned()))?;
                self.nodes += size(&known);
                return Ok(Node { line, ..known });
            }
            _ => return Err((line, "invalid YAML".to_owned())),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, (usize, String)> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(list)),
                (event, line) => list.push(self.node(event, line, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, (usize, String)> {
        let mut map: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, line) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Map(map));
            }
            let key = self.node(event, line, depth + 1)?;
            let (event, value_line) = self.next()?;
            let value = self.node(event, value_line, depth + 1)?;
            match key.text() {
                // a merge key: its members count unless the mapping has its own
                Some("<<") => map.extend(value.map().to_vec()),
                Some(name) => {
                    map.retain(|(known, _)| known != name);
                    map.push((name.to_owned(), Node { line, ..value }));
                }
                None => return Err((line, "a key that is no text".to_owned())),
            }
        }
    }
}

fn size(node: &Node) -> usize {
    let list = node.list().iter().map(size).sum::<usize>();
    1 + list + node.map().iter().map(|(_, node)| size(node)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_nodes_have_lines_and_aliases_are_resolved() {
        let text =
            "a: &x\n  b: 1\n  c: [one, 'two # 2']\nd:\n  <<: *x\n  b: 2 # comment\ne: ~\nf: \"\"\n";
        let root = parse(text).expect("valid");
        let a = root.get("a").expect("a");
        assert_eq!(
            a.get("c").map(|c| c.list()[1].text()),
            Some(Some("two # 2"))
        );
        assert_eq!(a.get("c").map(|c| c.line), Some(3));
        let d = root.get("d").expect("d");
        assert_eq!(d.get("b").and_then(Node::text), Some("2"));
        assert_eq!(d.get("c").map(|c| c.list().len()), Some(2));
        assert!(root.get("e").is_none());
        assert_eq!(root.get("f").and_then(Node::text), Some(""));
    }

    #[test]
    fn yaml_error_names_the_line_and_repeats_no_value() {
        let (line, cause) = parse("a: 1\nb: [sk-secret\n").expect_err("invalid");
        assert!(line >= 2 && !cause.contains("sk-secret"), "{line}: {cause}");
        assert!(parse("").is_err());
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(parse(&deep).is_err());
    }
}
