//! Bound of the tools of a request. A tool runs at the client, which costs nothing here, or at the vendor, where its results are input
//! once more. Must never take a hosted tool for a client's: an unknown type counts as hosted.

use serde::de::MapAccess;

use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::input_bound::{InputBound, SecondModelBound};
use crate::domain::server_tool::ServerTool;

/// Longer model names are refused by the vendor too.
const MODEL_BYTES_MAX: usize = 256;

/// Tools of one dialect.
#[derive(Debug)]
pub(in crate::dialect) struct ToolRules {
    /// runner of a tool by its type
    pub(in crate::dialect) runner: fn(&str) -> ToolRunner,
    /// field that limits searches, named where it is missing
    pub(in crate::dialect) search_limit: &'static str,
    /// Responses: namespaces hold tools, and `execution` names the runner of a tool search
    pub(in crate::dialect) has_namespaces: bool,
}

/// Runner of a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dialect) enum ToolRunner {
    #[default]
    Client,
    /// the vendor, each run at the price of a search; the tool, if it has a price of its own
    Search(Option<ServerTool>),
    /// the vendor, each run at the fee of the tool
    Priced(ServerTool),
    /// a model beside the one asked for, which the tool names; else this one
    SecondModel(Option<&'static str>),
    /// the vendor, at a cost that no limit of the request bounds
    Hosted,
}

/// Reads declared tools one after the other.
#[derive(Clone)]
pub(super) struct ToolVisitor {
    rules: &'static ToolRules,
    pub(super) bound: InputBound,
    tool: DeclaredTool,
    /// limit that the request sets for all hosted tools together
    hosted_calls_max: Option<u64>,
    /// several search tools are declared
    is_mixed: bool,
}

/// The tool being read.
#[derive(Clone, Default)]
struct DeclaredTool {
    runner: ToolRunner,
    /// type, if hosted
    kind: String,
    max_uses: Option<u64>,
    /// models that the tool names
    models: Vec<String>,
    /// output tokens of one run of its model
    max_tokens: Option<u64>,
    /// the client runs a tool that a vendor could run
    runs_at_client: bool,
}

impl ToolVisitor {
    pub(super) fn new(rules: &'static ToolRules, hosted_calls_max: Option<u64>) -> ToolVisitor {
        ToolVisitor {
            rules,
            bound: InputBound::default(),
            tool: DeclaredTool::default(),
            hosted_calls_max,
            is_mixed: false,
        }
    }

    /// Notes the models that a tool may run; unlimited runs are no bound of the model's own input either.
    fn second_models(&mut self, tool: DeclaredTool, default: Option<&str>, runs: Option<u64>) {
        let mut models = tool.models;
        if let Some(default) = default.filter(|_| models.is_empty()) {
            models.push(default.to_owned());
        }
        match runs.filter(|_| !models.is_empty()) {
            Some(runs) => {
                self.bound.tool_rounds = self.bound.tool_rounds.saturating_add(runs);
            }
            None => self.hosted_without(&tool.kind, Some(self.rules.search_limit)),
        }
        let bounds = models.into_iter().map(|model| SecondModelBound {
            tool: tool.kind.clone(),
            model,
            runs,
            output_cap: tool.max_tokens,
        });
        self.bound.second_models.extend(bounds);
    }

    /// Of a type that is given twice the dearer one counts.
    fn read_type(&mut self, value: &Leaf<'_>) {
        let (kind, runner) = match value {
            Leaf::Null => ("", ToolRunner::Client),
            value => {
                let kind = value.text().unwrap_or("?");
                (kind, (self.rules.runner)(kind))
            }
        };
        if runner != ToolRunner::Client && self.tool.runner != ToolRunner::Hosted {
            self.tool.runner = runner;
            self.tool.kind = printable(kind).to_owned();
        }
    }

    fn read_namespace<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let mut inner = ToolVisitor::new(self.rules, self.hosted_calls_max);
        map.next_value_seed(ElementsSeed(&mut inner))?;
        self.bound.tools += inner.bound.tools;
        self.bound.add(InputBound {
            tools: 0,
            ..inner.bound
        });
        Ok(())
    }

    fn hosted_without(&mut self, kind: &str, limit: Option<&str>) {
        let why = match limit {
            Some(limit) => format!("hosted tool {kind} without {limit}"),
            None => format!("hosted tool {kind}"),
        };
        unbounded(&mut self.bound, &why);
    }
}

impl FieldVisitor for ToolVisitor {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                let value: Leaf<'_> = map.next_value()?;
                self.read_type(&value);
                Ok(())
            }
            "max_uses" => {
                if let Leaf::Whole(uses) = map.next_value()? {
                    let max_uses = self.tool.max_uses.unwrap_or(0).max(uses);
                    self.tool.max_uses = Some(max_uses);
                }
                Ok(())
            }
            "max_tokens" => {
                if let Leaf::Whole(tokens) = map.next_value()? {
                    self.tool.max_tokens = Some(tokens.max(self.tool.max_tokens.unwrap_or(0)));
                }
                Ok(())
            }
            "model" => {
                let value: Leaf<'_> = map.next_value()?;
                let model = value.text().filter(|model| model.len() <= MODEL_BYTES_MAX);
                self.tool.models.extend(model.map(str::to_owned));
                Ok(())
            }
            // settings of a model that writes vector images
            "svg" => map.next_value_seed(ObjectSeed(&mut ToolModel(&mut self.tool.models))),
            "execution" if self.rules.has_namespaces => {
                self.tool.runs_at_client = map.next_value::<Leaf<'_>>()?.text() == Some("client");
                Ok(())
            }
            "tools" if self.rules.has_namespaces => self.read_namespace(map),
            _ => skip(map),
        }
    }

    fn end(&mut self) {
        self.bound.tools += 1;
        let tool = std::mem::take(&mut self.tool);
        match (tool.runner, tool.max_uses.or(self.hosted_calls_max)) {
            (ToolRunner::Client, _) => {}
            (ToolRunner::Hosted, _) if tool.runs_at_client && tool.kind == "tool_search" => {}
            (ToolRunner::Search(search), Some(uses)) => {
                self.bound.searches = self.bound.searches.saturating_add(uses);
                let other = self
                    .bound
                    .search_tool
                    .filter(|other| Some(*other) != search);
                self.is_mixed |= other.is_some();
                // of two tools the dearer one counts
                self.bound.search_tool = search.filter(|_| !self.is_mixed);
            }
            (ToolRunner::Priced(priced), Some(uses)) => {
                self.bound.hosted_uses.push((priced, uses));
            }
            (ToolRunner::Search(_) | ToolRunner::Priced(_), None) => {
                self.hosted_without(&tool.kind, Some(self.rules.search_limit));
            }
            (ToolRunner::SecondModel(default), uses) => self.second_models(tool, default, uses),
            (ToolRunner::Hosted, _) => self.hosted_without(&tool.kind, None),
        }
    }
}

/// Model that a member of a tool names.
struct ToolModel<'t>(&'t mut Vec<String>);

impl FieldVisitor for ToolModel<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "model" {
            return skip(map);
        }
        let value: Leaf<'_> = map.next_value()?;
        let model = value.text().filter(|model| model.len() <= MODEL_BYTES_MAX);
        self.0.extend(model.map(str::to_owned));
        Ok(())
    }
}

/// A tool that a message adds to the conversation: `{"type": "tool_definition", "definition": …}`.
pub(super) struct AddedTool(pub(super) ToolVisitor);

impl FieldVisitor for AddedTool {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "definition" => map.next_value_seed(ObjectSeed(&mut self.0)),
            _ => skip(map),
        }
    }
}

/// Notes why nothing bounds the input; the first reason counts.
pub(super) fn unbounded(bound: &mut InputBound, why: &str) {
    bound.unbounded.get_or_insert_with(|| why.to_owned());
}

/// A name chosen by the client, if it may be printed.
pub(in crate::dialect) fn printable(name: &str) -> &str {
    let plain = name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.?".contains(&byte));
    if plain { name } else { "unknown" }
}

#[cfg(test)]
mod tests;
