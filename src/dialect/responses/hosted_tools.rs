//! Tools that the vendor ran for a response: searches, containers and image models, from the items, from `tool_usage` and from the
//! echo of the request's tools. Must never count an item twice: the last event of a stream repeats all items.

use serde::de::MapAccess;

use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::{SecondModel, Usage};

/// Image model that the vendor takes where the tool names none.
pub(super) const DEFAULT_IMAGE_MODEL: &str = "gpt-image-2.6-sunburst";
/// More containers are not told apart.
const CONTAINERS_MAX: usize = 32;
/// Longer names are cut off, as in requests.
const NAME_BYTES_MAX: usize = 256;

/// Tools that ran, as far as the items tell.
#[derive(Clone, Debug, Default)]
pub(super) struct ItemTools {
    pub(super) searches: u64,
    pub(super) file_searches: u64,
    containers: Vec<String>,
    /// authors of vector images, each a model of its own
    authors: Vec<SecondModel>,
}

impl ItemTools {
    pub(super) fn add_container(&mut self, id: String) {
        let is_new = !self.containers.contains(&id);
        if is_new && self.containers.len() < CONTAINERS_MAX {
            self.containers.push(id);
        }
    }

    /// Adds the tools of one more item.
    pub(super) fn add(&mut self, item: &ItemTools) {
        self.searches = self.searches.saturating_add(item.searches);
        self.file_searches = self.file_searches.saturating_add(item.file_searches);
        for id in &item.containers {
            self.add_container(id.clone());
        }
        self.authors.extend(item.authors.iter().cloned());
    }

    /// Takes a report of all items, which can be earlier or later than this one.
    fn merge(&mut self, all: ItemTools) {
        self.searches = self.searches.max(all.searches);
        self.file_searches = self.file_searches.max(all.file_searches);
        for id in all.containers {
            self.add_container(id);
        }
        if all.authors.len() > self.authors.len() {
            self.authors = all.authors;
        }
    }
}

/// Tools that ran, from all that a response says about them.
#[derive(Clone, Debug, Default)]
pub(super) struct HostedTools {
    pub(super) items: ItemTools,
    /// searches that the vendor bills, where it says so
    billable_searches: Count,
    pub(super) search_tool: Option<ServerTool>,
    image_model: Option<String>,
    images: ImageCounts,
}

impl HostedTools {
    pub(super) fn merge(&mut self, later: HostedTools) {
        self.items.merge(later.items);
        self.billable_searches.then(later.billable_searches);
        self.search_tool = later.search_tool.or(self.search_tool);
        self.image_model = later.image_model.or(self.image_model.take());
        self.images.then(later.images);
    }

    pub(super) fn is_invalid(&self) -> bool {
        self.billable_searches == Count::Invalid || self.images.is_invalid()
    }

    /// Billed searches: the vendor's count, else the items.
    pub(super) fn searches(&self) -> u64 {
        match self.billable_searches {
            Count::Value(searches) => searches,
            Count::Absent | Count::Invalid => self.items.searches,
        }
    }

    /// Uses of other tools.
    pub(super) fn uses(&self) -> Vec<(ServerTool, u64)> {
        let uses = [
            (ServerTool::FileSearch, self.items.file_searches),
            (
                ServerTool::CodeInterpreter,
                self.items.containers.len() as u64,
            ),
        ];
        uses.into_iter().filter(|(_, uses)| *uses > 0).collect()
    }

    pub(super) fn add_second_models(&self, usage: &mut Usage) {
        for author in &self.items.authors {
            usage.add_second_model(&author.model, &author.usage);
        }
        if let Some(images) = self.images.usage() {
            let model = self.image_model.as_deref().unwrap_or(DEFAULT_IMAGE_MODEL);
            usage.add_second_model(model, &images);
        }
    }
}

/// `tool_usage`
pub(super) struct ToolUsage<'t>(pub(super) &'t mut HostedTools);

impl FieldVisitor for ToolUsage<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "image_gen" => map.next_value_seed(ObjectSeed(&mut self.0.images)),
            "web_search" => map.next_value_seed(ObjectSeed(&mut BilledSearches(self.0))),
            _ => skip(map),
        }
    }
}

struct BilledSearches<'t>(&'t mut HostedTools);

impl FieldVisitor for BilledSearches<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "num_requests" => {
                self.0.billable_searches.then(Count::optional(map)?);
                Ok(())
            }
            _ => skip(map),
        }
    }
}

/// Counts of `image_gen`, whose details are one object deep.
#[derive(Clone, Copy, Debug, Default)]
struct ImageCounts {
    input: Count,
    output: Count,
    cached: Count,
    image_in: Count,
    image_cached: Count,
    image_out: Count,
    is_output_detail: bool,
}

impl ImageCounts {
    fn then(&mut self, later: ImageCounts) {
        self.input.then(later.input);
        self.output.then(later.output);
        self.cached.then(later.cached);
        self.image_in.then(later.image_in);
        self.image_cached.then(later.image_cached);
        self.image_out.then(later.image_out);
    }

    fn is_invalid(&self) -> bool {
        let counts = [
            self.input,
            self.output,
            self.cached,
            self.image_in,
            self.image_cached,
            self.image_out,
        ];
        counts.contains(&Count::Invalid)
    }

    /// Usage of the image model, if it ran. Output without details is images, the dearer kind.
    fn usage(&self) -> Option<Usage> {
        let output = self.output.tokens();
        let image_cached = self.image_cached.tokens();
        let mut usage = Usage {
            cache_read: self.cached.tokens(),
            image_cached: image_cached.min(self.cached.tokens()),
            out_total: output,
            image_out: match self.image_out {
                Count::Value(images) => images.min(output),
                Count::Absent | Count::Invalid => output,
            },
            ..Usage::default()
        };
        usage.clamp_to_prompt(self.input.tokens());
        let images = self.image_in.tokens().saturating_sub(image_cached);
        usage.image_in = images.min(usage.uncached_in);
        (usage.in_total() + output > 0).then_some(usage)
    }
}

impl FieldVisitor for ImageCounts {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let count = match name {
            "input_tokens" => &mut self.input,
            "output_tokens" => &mut self.output,
            "cached_tokens" => &mut self.cached,
            "cached_image_tokens" => &mut self.image_cached,
            "image_tokens" if self.is_output_detail => &mut self.image_out,
            "image_tokens" => &mut self.image_in,
            "input_tokens_details" | "cached_tokens_details" | "output_tokens_details" => {
                self.is_output_detail = name == "output_tokens_details";
                map.next_value_seed(ObjectSeed(self))?;
                self.is_output_detail = false;
                return Ok(());
            }
            _ => return skip(map),
        };
        count.then(Count::optional(map)?);
        Ok(())
    }
}

/// One of `tools`, which a response repeats from the request.
pub(super) struct DeclaredTool<'t> {
    tools: &'t mut HostedTools,
    kind: String,
    model: Option<String>,
}

impl DeclaredTool<'_> {
    pub(super) fn of(tools: &mut HostedTools) -> DeclaredTool<'_> {
        DeclaredTool {
            tools,
            kind: String::new(),
            model: None,
        }
    }
}

impl FieldVisitor for DeclaredTool<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                let kind: Leaf<'_> = map.next_value()?;
                self.kind = kind.text().unwrap_or_default().to_owned();
            }
            "model" => self.model = short_text(&map.next_value()?),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn end(&mut self) {
        let (kind, model) = (std::mem::take(&mut self.kind), self.model.take());
        if kind == "image_generation" {
            self.tools.image_model = model;
        } else if let Some(tool) = search_tool(&kind) {
            self.tools.search_tool = Some(tool);
        }
    }
}

/// Search of a tool type, each priced by itself.
pub(super) fn search_tool(kind: &str) -> Option<ServerTool> {
    if kind.starts_with("web_search_preview") {
        Some(ServerTool::WebSearchPreview)
    } else {
        kind.starts_with("web_search")
            .then_some(ServerTool::WebSearch)
    }
}

/// `svg_usage` of an image call: the model that wrote the vector image.
pub(super) struct AuthorUsage<'t> {
    tools: &'t mut ItemTools,
    model: Option<String>,
    input: Count,
    output: Count,
}

impl AuthorUsage<'_> {
    pub(super) fn of(tools: &mut ItemTools) -> AuthorUsage<'_> {
        AuthorUsage {
            tools,
            model: None,
            input: Count::Absent,
            output: Count::Absent,
        }
    }
}

impl FieldVisitor for AuthorUsage<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "model" => self.model = short_text(&map.next_value()?),
            "input_tokens" => self.input.then(Count::optional(map)?),
            "output_tokens" => self.output.then(Count::optional(map)?),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn end(&mut self) {
        if let Some(model) = self.model.take() {
            let usage = Usage {
                uncached_in: self.input.tokens(),
                out_total: self.output.tokens(),
                ..Usage::default()
            };
            self.tools.authors.push(SecondModel { model, usage });
        }
    }
}

pub(super) fn short_text(value: &Leaf<'_>) -> Option<String> {
    let text = value.text()?;
    (text.len() <= NAME_BYTES_MAX).then(|| text.to_owned())
}

/// Reads the echo of the request's tools.
pub(super) fn read_declared<'de, A: MapAccess<'de>>(
    tools: &mut HostedTools,
    map: &mut A,
) -> Result<(), A::Error> {
    map.next_value_seed(ElementsSeed(&mut DeclaredTool::of(tools)))
}
