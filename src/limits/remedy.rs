//! Remedies: the smallest change after which a value no longer violates its rule. Content, tools and the format of the answer are
//! never left out: without them the answer would be another one.

use serde_json::Value;

use super::judge;
use super::media;
use super::names;
use super::path::{Path, Step};
use super::rule::{Limit, Rule};
use super::schema;
use super::tree::Node;

/// Members without which a request means something else.
const KEPT: [&str; 33] = [
    "model",
    "messages",
    "input",
    "contents",
    "parts",
    "content",
    "text",
    "system",
    "systemInstruction",
    "instructions",
    "role",
    "type",
    "name",
    "tools",
    "functions",
    "functionDeclarations",
    "toolConfig",
    "response_format",
    "format",
    "textFormat",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxTokens",
    "maxOutputTokens",
    "n",
    "image_url",
    "schema",
    "conversation",
    "previous_response_id",
];
/// Text in place of a blank one that cannot be left out.
const PLACEHOLDER: &str = ".";
/// Message between a result and a turn that must not follow it.
const BETWEEN: &str = r#"{"role":"assistant","content":"Understood."}"#;

/// Mends one violation; adds the names of what changed. Returns `false` if there is no remedy.
pub(super) fn mend(
    rule: &Rule,
    body: &mut Node<'_>,
    trail: &[usize],
    changed: &mut Vec<String>,
) -> bool {
    if rule.served_at.is_some() {
        return false;
    }
    if let (Limit::SchemaKeywords { .. } | Limit::AllRequired | Limit::MaxDepth(_), Some(switch))
    | (Limit::AdditionalPropertiesFalse | Limit::MaxProperties(_), Some(switch)) =
        (&rule.limit, rule.strict_switch())
    {
        return loosen(switch, &rule.field, body, trail, changed);
    }
    let mut mender = Mender {
        rule,
        body,
        trail,
        changed,
    };
    mender.mend()
}

/// Takes the strictness of a schema back, which the rule presupposes.
fn loosen(
    switch: &Path,
    own: &Path,
    body: &mut Node<'_>,
    trail: &[usize],
    changed: &mut Vec<String>,
) -> bool {
    let shared = switch.0.iter().zip(&own.0);
    let shared = shared.take_while(|(step, other)| step == other).count();
    let mut owner = trail[..shared.min(trail.len())].to_vec();
    for step in &switch.0[shared..switch.0.len() - 1] {
        let Step::Member(name) = step else {
            return false;
        };
        let number = body.at(&owner).and_then(|node| {
            let mut children = node.children();
            children.position(|(known, _)| known == Some(name.as_str()))
        });
        match number {
            Some(number) => owner.push(number),
            None => return false,
        }
    }
    if let Some(node) = body.change(&owner) {
        node.set_member("strict", Node::written("false".to_owned()));
    }
    push(changed, switch.dotted());
    true
}

fn push(changed: &mut Vec<String>, name: String) {
    if !changed.contains(&name) {
        changed.push(name);
    }
}

struct Mender<'a, 't> {
    rule: &'a Rule,
    body: &'a mut Node<'t>,
    trail: &'a [usize],
    changed: &'a mut Vec<String>,
}

impl Mender<'_, '_> {
    fn mend(&mut self) -> bool {
        let leaf = self.rule.field.leaf();
        match &self.rule.limit {
            Limit::KnownFields(known) => self.remove_members(|name| has(known, name)),
            Limit::RefusedFields(refused) => self.remove_members(|name| !has(refused, name)),
            Limit::MaxKeyChars(max) => self.remove_members(|name| name.chars().count() <= *max),
            Limit::Required(required) => self.fill(required),
            Limit::MaxChars(max) => self.shorten(*max),
            Limit::MinChars(_) | Limit::NotBlank => self.fill_or_remove(),
            Limit::Pattern(pattern) if names::is_id(leaf) || names::is_user(leaf) => {
                self.disguise(usize::MAX, Some(pattern))
            }
            Limit::Min(bar) | Limit::Max(bar) => self.clamp(*bar),
            Limit::MaxItems(_) if leaf.to_ascii_lowercase().ends_with("metadata") => self.remove(),
            Limit::MinItems(_) if leaf == "tools" => self.remove_whole(),
            Limit::MaxCount { .. } if leaf.starts_with("cache") => self.remove(),
            Limit::OneOf(values) => self.choose(values),
            Limit::MediaTypes(types) => self.rename_media(types),
            Limit::Types(kinds) => self.enclose(kinds),
            Limit::LessThan(_) | Limit::NotWith(_) => self.remove(),
            Limit::NotAfter(order) => self.separate(order),
            Limit::LastOneOf(roles) if has(roles, "user") => self.ask_last(),
            Limit::SchemaKeywords { words, top_only } => self.describe(words, *top_only),
            Limit::AdditionalPropertiesFalse => self.close(),
            Limit::Betas(known) => self.keep_betas(known),
            Limit::Pattern(_) => self.rename(64),
            _ => false,
        }
    }

    fn name(&mut self, more: &str) {
        let path = self.rule.field.dotted();
        let name = match (path.is_empty(), more.is_empty()) {
            (true, _) => more.to_owned(),
            (false, true) => path,
            (false, false) => format!("{path}.{more}"),
        };
        push(self.changed, name);
    }

    fn value(&self) -> Option<&Node<'_>> {
        self.body.at(self.trail)
    }

    fn set(&mut self, json: String) -> bool {
        if let Some(node) = self.body.change(self.trail) {
            node.replace(Node::written(json));
        }
        self.name("");
        true
    }

    fn set_text(&mut self, text: &str) -> bool {
        self.set(Value::from(text).to_string())
    }

    fn remove_members(&mut self, keep: impl Fn(&str) -> bool) -> bool {
        let Some(node) = self.body.change(self.trail) else {
            return false;
        };
        let removed = node.retain_members(|name| keep(name) || KEPT.contains(&name));
        let is_empty = node.size() == 0;
        for name in &removed {
            self.name(name);
        }
        if is_empty && !removed.is_empty() && !self.trail.is_empty() {
            self.remove_at(self.trail.len());
        }
        !removed.is_empty()
    }

    /// Removes the value, and what contains nothing else.
    fn remove(&mut self) -> bool {
        if KEPT.contains(&self.rule.field.leaf()) || self.trail.is_empty() {
            return false;
        }
        self.name("");
        self.remove_at(self.trail.len());
        true
    }

    /// Removes an empty list, which says nothing.
    fn remove_whole(&mut self) -> bool {
        self.name("");
        self.remove_at(self.trail.len());
        true
    }

    /// Removes the value at the first `steps` of the trail, and the values above it that become empty.
    fn remove_at(&mut self, steps: usize) {
        let Some((number, above)) = self.trail[..steps].split_last() else {
            return;
        };
        let Some(parent) = self.body.change(above) else {
            return;
        };
        parent.remove_child(*number);
        if parent.size() == 0 && !above.is_empty() {
            self.remove_at(above.len());
        }
    }

    /// Reasoning that a vendor wants beside the calls of its history, where nothing of it is known.
    fn fill(&mut self, required: &[String]) -> bool {
        let [only] = required else { return false };
        if only != "reasoning_content" {
            return false;
        }
        if let Some(node) = self.body.change(self.trail) {
            node.set_member(only, Node::text_value(""));
        }
        self.name(only);
        true
    }

    fn shorten(&mut self, max: usize) -> bool {
        let leaf = self.rule.field.leaf();
        if names::is_id(leaf) || names::is_user(leaf) {
            return self.disguise(max, None);
        }
        match leaf {
            "description" => {
                let text = self.value().and_then(Node::string);
                let text: String = text.unwrap_or_default().chars().take(max).collect();
                self.set_text(&text)
            }
            "metadata" | "requestMetadata" => self.remove(),
            _ => self.rename(max),
        }
    }

    /// A fingerprint of the same length for equal values.
    fn disguise(&mut self, max: usize, pattern: Option<&regex_lite::Regex>) -> bool {
        let text = self.value().and_then(Node::string);
        let text = text.map(std::borrow::Cow::into_owned).unwrap_or_default();
        match names::fingerprint(&text, max, pattern) {
            Some(replacement) => self.set_text(&replacement),
            None => false,
        }
    }

    /// Names of schemas and documents, which no answer repeats.
    fn rename(&mut self, max: usize) -> bool {
        let path = self.rule.field.dotted();
        let is_free = ["json_schema.name", "format.name", "document.name"]
            .iter()
            .any(|end| path.ends_with(end));
        if !is_free {
            return false;
        }
        let text = self.value().and_then(Node::string).unwrap_or_default();
        let plain = names::plain(&text, max);
        self.set_text(&plain)
    }

    /// A blank text beside others goes; a lone one is replaced, since its turn must stay.
    fn fill_or_remove(&mut self) -> bool {
        let leaf = self.rule.field.leaf();
        if names::is_id(leaf) {
            return self.disguise(usize::MAX, None);
        }
        if leaf != "text" {
            return self.remove();
        }
        let part = &self.trail[..self.trail.len() - 1];
        let siblings = part.split_last().and_then(|(_, list)| self.body.at(list));
        let has_siblings = siblings.is_some_and(|list| list.is_array() && list.size() > 1);
        if has_siblings || self.rule.field.root().starts_with("system") {
            self.name("");
            self.remove_at(self.trail.len() - 1);
            return true;
        }
        self.set_text(PLACEHOLDER)
    }

    /// One text where a list is wanted. Both say the same, so that nothing is named.
    fn enclose(&mut self, kinds: &[String]) -> bool {
        let text = self.value().filter(|value| value.is_text());
        let Some(json) = text.and_then(Node::json).filter(|_| kinds == ["array"]) else {
            return false;
        };
        if let Some(node) = self.body.change(self.trail) {
            node.replace(Node::written(Value::from(vec![json]).to_string()));
        }
        true
    }

    fn clamp(&mut self, bar: f64) -> bool {
        if bar.fract() == 0.0 {
            self.set(format!("{bar:.0}"))
        } else {
            self.set(bar.to_string())
        }
    }

    fn choose(&mut self, values: &[Value]) -> bool {
        let has = |text: &str| values.iter().any(|value| value == text);
        let said = self.value().and_then(Node::string);
        let said = said.map(std::borrow::Cow::into_owned);
        match (self.rule.field.leaf(), said.as_deref()) {
            ("role", Some("developer")) if has("system") => self.set_text("system"),
            ("type", _) if self.rule.field.dotted() == "thinking.type" => {
                self.name("");
                self.remove_at(self.trail.len() - 1);
                true
            }
            ("type", _) if self.rule.field.dotted() == "tool_choice.type" => {
                self.name("");
                self.remove_at(self.trail.len() - 1);
                true
            }
            _ => self.remove(),
        }
    }

    /// Media type by the first bytes of an image, whatever its label says.
    fn media_type_of_bytes(&self) -> Option<&'static str> {
        let text = self.value().and_then(Node::string)?;
        match text.strip_prefix("data:") {
            Some(rest) => media::type_of(rest.split_once(',')?.1),
            None => {
                let (_, owner) = self.trail.split_last()?;
                media::type_of(&self.body.at(owner)?.member("data")?.string()?)
            }
        }
    }

    /// The media type of the bytes, or the usual name of one, in place of another label.
    fn rename_media(&mut self, types: &[String]) -> bool {
        let text = self.value().and_then(Node::string).unwrap_or_default();
        if let Some(known) = self.media_type_of_bytes().filter(|known| has(types, known)) {
            let label = text.strip_prefix("data:");
            let renamed = match label.and_then(|label| label.find([';', ','])) {
                Some(end) => format!("data:{known}{}", &text["data:".len() + end..]),
                None => known.to_owned(),
            };
            return self.set_text(&renamed);
        }
        let aliases = [
            ("image/jpg", "image/jpeg"),
            ("image/pjpeg", "image/jpeg"),
            ("image/x-png", "image/png"),
            ("jpg", "jpeg"),
        ];
        let renamed = aliases.iter().find_map(|(alias, usual)| {
            let begins = [format!("data:{alias};"), format!("data:{alias},")];
            let is_known = has(types, usual);
            if !is_known {
                None
            } else if text.eq_ignore_ascii_case(alias) {
                Some((*usual).to_owned())
            } else {
                let begin = begins.iter().find(|begin| text.starts_with(*begin))?;
                let (mark, rest) = text.split_at(begin.len() - 1);
                Some(format!("{}{rest}", mark.replace(alias, usual)))
            }
        });
        match renamed {
            Some(renamed) => self.set_text(&renamed),
            None => false,
        }
    }

    fn separate(&mut self, order: &std::collections::HashMap<String, Vec<String>>) -> bool {
        let Some(messages) = self.body.change(self.trail) else {
            return false;
        };
        for number in judge::misplaced(messages, order).into_iter().rev() {
            messages.insert_element(number, Node::written(BETWEEN.to_owned()));
        }
        self.name("");
        true
    }

    /// Instructions after the last turn of the user become one: dropped they would change the answer.
    fn ask_last(&mut self) -> bool {
        let Some(last) = self
            .value()
            .and_then(|messages| messages.size().checked_sub(1))
        else {
            return false;
        };
        let trail = [self.trail, &[last]].concat();
        let role = self
            .body
            .at(&trail)
            .and_then(|message| message.member("role"));
        let role = role.and_then(Node::string).unwrap_or_default();
        if !matches!(role.as_ref(), "system" | "developer") {
            return false;
        }
        if let Some(message) = self.body.change(&trail) {
            message.set_member("role", Node::text_value("user"));
        }
        self.name("role");
        true
    }

    fn describe(&mut self, words: &[String], top_only: bool) -> bool {
        let Some(node) = self.body.change(self.trail) else {
            return false;
        };
        schema::change(node, |node| {
            if top_only {
                schema::inline_references(node);
                node.retain_members(|name| has(words, name));
            } else {
                schema::change_each(node, &mut |schema| schema::describe_others(schema, words));
            }
        });
        self.name("");
        true
    }

    fn close(&mut self) -> bool {
        let Some(node) = self.body.change(self.trail) else {
            return false;
        };
        schema::change(node, |node| schema::change_each(node, &mut schema::close));
        self.name("");
        true
    }

    fn keep_betas(&mut self, known: &[String]) -> bool {
        let Some(node) = self.body.change(self.trail) else {
            return false;
        };
        let unknown = node
            .children()
            .enumerate()
            .filter_map(|(number, (_, beta))| {
                let beta = beta.string()?;
                (!has(known, &beta)).then(|| (number, beta.into_owned()))
            });
        let unknown: Vec<(usize, String)> = unknown.collect();
        for (number, _) in unknown.iter().rev() {
            node.remove_child(*number);
        }
        let is_empty = node.size() == 0;
        for (_, beta) in unknown {
            self.name(&beta);
        }
        if is_empty {
            self.remove_at(self.trail.len());
        }
        true
    }
}

fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|known| known == name)
}
