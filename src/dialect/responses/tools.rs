//! Tools of a request in the canonical model, which has functions only. A custom tool becomes a function with one text, the tools of a
//! namespace get qualified names, and the client's tool search is a function too. The same table returns each call in the form that
//! the client declared.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;

use crate::conversation::{RawJson, Tool, raw};
use crate::dialect::input_bound::printable;
use crate::dialect::request::{Request, typed};
use crate::dialect::wire::json::lenient;
use crate::domain::api_error::ApiError;

/// Canonical name of the client's tool search.
pub(super) const TOOL_SEARCH: &str = "tool_search";
/// Only argument of the function for a custom tool.
const CUSTOM_ARGUMENT: &str = "input";
/// Separator between a namespace and a name in it.
const BETWEEN: &str = "__";

/// Form in which a client declared a tool and expects its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Function(FunctionCall),
    Custom(FunctionCall),
    ToolSearch,
}

/// Name of a tool at the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionCall {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// Every declared tool by its canonical name.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    forms: HashMap<String, Form>,
}

/// A tool declared by a client, or a namespace with its tools.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ToolDeclaration {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<RawJson>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    execution: Option<String>,
    #[serde(default)]
    format: Option<CustomFormat>,
    #[serde(default)]
    tools: Vec<ToolDeclaration>,
}

#[derive(Clone, Debug, Deserialize)]
struct CustomFormat {
    #[serde(default)]
    syntax: Option<String>,
    #[serde(default)]
    definition: Option<String>,
}

/// Tools of an input item, if it has any.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    tools: Option<Vec<ToolDeclaration>>,
}

impl Table {
    /// Canonical name of a tool in a call of the history.
    pub(super) fn canonical_name(namespace: Option<&str>, name: &str) -> String {
        match namespace.filter(|namespace| !namespace.is_empty()) {
            Some(namespace) if namespace.ends_with(BETWEEN) => format!("{namespace}{name}"),
            Some(namespace) => format!("{namespace}{BETWEEN}{name}"),
            None => name.to_owned(),
        }
    }

    /// Form of a tool's calls by its canonical name; an undeclared tool is a plain function.
    pub(super) fn form(&self, canonical_name: &str) -> Form {
        self.forms.get(canonical_name).cloned().unwrap_or_else(|| {
            Form::Function(FunctionCall {
                namespace: None,
                name: canonical_name.to_owned(),
            })
        })
    }

    pub(super) fn holds(&self, canonical_name: &str) -> bool {
        self.forms.contains_key(canonical_name)
    }
}

/// Tools of a request: the table, the canonical tools in the client's order, and the dropped hosted tools.
#[derive(Debug, Default)]
pub(super) struct Tools {
    pub(super) table: Table,
    pub(super) tools: Vec<Tool>,
    pub(super) dropped: Vec<String>,
}

impl Tools {
    /// Reads `tools`, and the tools in items of the input.
    pub(super) fn of(request: &Request) -> Result<Tools, ApiError> {
        let mut tools = Tools::default();
        for declared in typed::<Vec<ToolDeclaration>>(request, "tools")?.unwrap_or_default() {
            tools.add(declared, None);
        }
        let input = request.member("input").unwrap_or_default();
        let brings_tools =
            |kind: &str| memchr::memmem::find(input.as_bytes(), kind.as_bytes()).is_some();
        if input.starts_with('[')
            && (brings_tools("additional_tools") || brings_tools("tool_search_output"))
        {
            // the decoder of items reports an item of another shape
            let items: Vec<Item> = lenient(input.as_bytes()).unwrap_or_default();
            for declared in items
                .into_iter()
                .flat_map(|item| item.tools.unwrap_or_default())
            {
                tools.add(declared, None);
            }
        }
        Ok(tools)
    }

    fn add(&mut self, declared: ToolDeclaration, namespace: Option<&str>) {
        match (declared.kind.as_str(), &declared.name) {
            ("function", Some(_)) => self.function(declared, namespace),
            ("custom", Some(_)) => self.custom(declared, namespace),
            ("namespace", Some(name)) if namespace.is_none() => {
                let name = name.clone();
                for inner in declared.tools {
                    self.add(inner, Some(&name));
                }
            }
            (TOOL_SEARCH, _) if declared.execution.as_deref() == Some("client") => {
                self.tool_search(declared)
            }
            // a hosted tool search is unnecessary: all tools are declared
            (TOOL_SEARCH, _) => {}
            (kind, _) => self.dropped.push(format!("tools.{}", printable(kind))),
        }
    }

    fn function(&mut self, declared: ToolDeclaration, namespace: Option<&str>) {
        let name = declared.name.unwrap_or_default();
        let schema = declared
            .parameters
            .filter(|schema| schema.as_str() != "null")
            .unwrap_or_else(no_arguments);
        let called = FunctionCall {
            namespace: namespace.map(str::to_owned),
            name,
        };
        let tool = Tool {
            name: Table::canonical_name(namespace, &called.name),
            description: declared.description,
            schema,
            strict: declared.strict,
            cache: None,
        };
        self.put(tool, Form::Function(called));
    }

    fn custom(&mut self, declared: ToolDeclaration, namespace: Option<&str>) {
        let name = declared.name.unwrap_or_default();
        let mut description = declared.description.unwrap_or_default();
        if let Some(CustomFormat {
            syntax,
            definition: Some(definition),
        }) = declared.format
        {
            let syntax = syntax.unwrap_or_else(|| "given".to_owned());
            let between = if description.is_empty() { "" } else { "\n\n" };
            description.push_str(&format!(
                "{between}`{CUSTOM_ARGUMENT}` must match this {syntax} grammar:\n{definition}"
            ));
        }
        let called = FunctionCall {
            namespace: namespace.map(str::to_owned),
            name,
        };
        let tool = Tool {
            name: Table::canonical_name(namespace, &called.name),
            description: Some(description).filter(|description| !description.is_empty()),
            schema: one_text(),
            strict: None,
            cache: None,
        };
        self.put(tool, Form::Custom(called));
    }

    fn tool_search(&mut self, declared: ToolDeclaration) {
        let schema = declared
            .parameters
            .filter(|schema| schema.as_str() != "null")
            .unwrap_or_else(a_query);
        let description = declared
            .description
            .or_else(|| Some("Searches for more tools.".to_owned()));
        let tool = Tool {
            name: TOOL_SEARCH.to_owned(),
            description,
            schema,
            strict: None,
            cache: None,
        };
        self.put(tool, Form::ToolSearch);
    }

    /// The first tool of a name counts: a tool search may return a tool twice.
    fn put(&mut self, tool: Tool, form: Form) {
        if !self.table.holds(&tool.name) {
            self.table.forms.insert(tool.name.clone(), form);
            self.tools.push(tool);
        }
    }
}

/// Arguments of the function for a custom tool.
pub(super) fn custom_arguments(input: &str) -> String {
    json!({ CUSTOM_ARGUMENT: input }).to_string()
}

/// Input of a custom tool; the raw arguments if they have another shape.
pub(super) fn custom_input(arguments: &str) -> String {
    #[derive(Deserialize)]
    struct Arguments {
        input: String,
    }
    match lenient::<Arguments>(arguments.as_bytes()) {
        Ok(Arguments { input }) => input,
        Err(_) => arguments.to_owned(),
    }
}

fn no_arguments() -> RawJson {
    raw(r#"{"type":"object","properties":{}}"#.to_owned()).unwrap_or_default()
}

fn a_query() -> RawJson {
    let schema =
        r#"{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}"#;
    raw(schema.to_owned()).unwrap_or_default()
}

fn one_text() -> RawJson {
    let schema = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;
    raw(schema.to_owned()).unwrap_or_default()
}
