//! The deployments of LiteLLM's `model_list`: each becomes the target of a route, and a provider that it shares with the deployments of the
//! same vendor, address and credential.

use std::collections::BTreeMap;

use super::reader::{Reader, reference};
use super::remarks::Remarks;
use super::toml_file::{Provider, Route, Target, quoted};
use super::yaml::Node;
use crate::price::Sheet;
use crate::provider::{REGISTRY, litellm_vendor};

#[derive(Default)]
pub(super) struct Deployments {
    providers: Vec<Provider>,
    routes: Vec<Route>,
    /// defaults of requests by route, as TOML
    defaults: BTreeMap<String, BTreeMap<String, String>>,
    /// keys that stood in the file
    literal_keys: usize,
    sheet: Option<Sheet>,
}

impl Deployments {
    /// Adds one entry of the list.
    pub fn add(&mut self, entry: &Node, remarks: &mut Remarks) {
        let name = entry.get("model_name").and_then(Node::text);
        let params = entry.get("litellm_params");
        let model = params
            .and_then(|params| params.get("model"))
            .and_then(Node::text);
        let (Some(name), Some(params), Some(model)) = (name, params, model) else {
            return remarks.add(entry, "model_list: an entry without model_name or model");
        };
        let sheet = self.sheet.get_or_insert_with(Sheet::embedded);
        let vendor = params.get("custom_llm_provider").and_then(Node::text);
        let prefix = vendor.map(|vendor| format!("{vendor}/"));
        let prefix = prefix.filter(|prefix| !model.starts_with(prefix.as_str()));
        let model = &format!("{}{model}", prefix.unwrap_or_default());
        let Some((vendor, model)) = litellm_vendor(model, REGISTRY, sheet) else {
            let prefix = model.split('/').next().unwrap_or_default();
            return remarks.add(params, format!("{name}: no provider type for `{prefix}`"));
        };
        let has_address = params.get("api_base").or(params.get("base_url")).is_some();
        let reader = Reader {
            entry,
            params,
            info: entry.get("model_info"),
            vendor: if has_address {
                vendor.at_own_address()
            } else {
                vendor
            },
            model,
        };
        let provider = self.provider(&reader, name, remarks);
        let target = Target {
            model: format!("{provider}/{model}"),
            // LiteLLM's shuffle takes the bounds as weights
            weight: ["weight", "rpm", "tpm"]
                .into_iter()
                .find_map(|key| match key {
                    "weight" => reader.number(key),
                    bound => reader.per_minute(bound),
                }),
            order: reader.number("order"),
            rpm: reader.per_minute("rpm"),
            tpm: reader.per_minute("tpm"),
            timeouts: reader.timeouts(),
        };
        self.target(&reader, name, target, remarks);
    }

    /// Name of the provider with the deployment's settings, an earlier one if there is one.
    fn provider(&mut self, reader: &Reader<'_>, name: &str, remarks: &mut Remarks) -> String {
        let settings = self.settings(reader, name, remarks);
        let preset = reader.vendor.preset;
        let known = self
            .providers
            .iter()
            .position(|known| known.preset == preset && known.settings == settings);
        let index = known.unwrap_or_else(|| {
            let name = self.free_name(preset);
            self.providers.push(Provider {
                name,
                preset,
                settings,
                ..Provider::default()
            });
            self.providers.len() - 1
        });
        let sheet = self.sheet.get_or_insert_with(Sheet::embedded);
        let priced_as = reader.priced_as(sheet);
        let provider = &mut self.providers[index];
        if let Some(listed) = priced_as {
            provider.priced_as.insert(reader.model.to_owned(), listed);
        }
        // a fixed price covers the models that are listed
        let has_price = provider.settings.iter().any(|(key, _)| *key == "price");
        let model = if reader.model.contains('*') {
            "*"
        } else {
            reader.model
        };
        if has_price && !provider.models.iter().any(|known| known == model) {
            provider.models.push(model.to_owned());
        }
        let is_free = provider
            .settings
            .iter()
            .any(|(key, value)| *key == "price" && value == "\"free\"");
        if is_free && provider.notes.is_empty() {
            let note = "LiteLLM states no price, so calls are free here too; set price = { input = \"…\", output = \"…\" } if they are not";
            provider.notes.push(note.to_owned());
        }
        provider.name.clone()
    }

    fn free_name(&self, preset: &str) -> String {
        let taken = |name: &str| self.providers.iter().any(|provider| provider.name == name);
        let numbered = (2..).map(|number| format!("{preset}-{number}"));
        std::iter::once(preset.to_owned())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    fn settings(
        &mut self,
        reader: &Reader<'_>,
        name: &str,
        remarks: &mut Remarks,
    ) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if let Some(url) = reader.base_url() {
            settings.push(("base_url", url));
        }
        self.credentials(reader, name, &mut settings, remarks);
        if let Some(version) = reader.params.get("api_version") {
            match version
                .text()
                .filter(|text| !text.starts_with("os.environ/"))
            {
                Some(text) => settings.push(("api_version", quoted(text))),
                None => remarks.add(
                    version,
                    format!("{name}: api_version from the environment; write it out"),
                ),
            }
        }
        if let Some(price) = reader.price() {
            settings.push(("price", price));
        }
        if let Some(headers) = reader.headers() {
            settings.push(("headers", headers));
        }
        settings
    }

    fn credentials(
        &mut self,
        reader: &Reader<'_>,
        name: &str,
        settings: &mut Vec<(&'static str, String)>,
        remarks: &mut Remarks,
    ) {
        if reader.vendor.signs {
            return reader.aws(name, settings, remarks);
        }
        match reader.params.get("api_key") {
            Some(node) => match node.text().and_then(reference) {
                Some(variable) => settings.push(("api_key", quoted(&format!("env:{variable}")))),
                // servers on the operator's machines take any word
                None if reader.vendor.self_hosted => {}
                None => {
                    self.literal_keys += 1;
                    let variable = format!("LITELLM_KEY_{}", self.literal_keys);
                    remarks.add(node, format!("{name}: api_key stands in the file; store it in the environment as {variable}"));
                    settings.push(("api_key", quoted(&format!("env:{variable}"))));
                }
            },
            None if reader.vendor.self_hosted => {}
            None => {
                let variable = reader.vendor.key_variable;
                settings.push(("api_key", quoted(&format!("env:{variable}"))));
            }
        }
    }

    /// Adds the target to its route, with what the deployment sets for its requests.
    fn target(&mut self, reader: &Reader<'_>, name: &str, target: Target, remarks: &mut Remarks) {
        let is_first = !self.routes.iter().any(|route| route.name == name);
        if is_first {
            self.routes.push(Route {
                name: name.to_owned(),
                ..Route::default()
            });
        }
        let Some(route) = self.routes.iter_mut().find(|route| route.name == name) else {
            return;
        };
        route.targets.push(target);
        let retries = reader
            .number("max_retries")
            .or(reader.number("num_retries"));
        let has_retries = route.settings.iter().any(|(key, _)| *key == "max_retries");
        if let Some(retries) = retries.filter(|_| !has_retries) {
            route
                .settings
                .push(("max_retries", retries.min(10).to_string()));
        }
        let defaults = reader.defaults(name, remarks);
        match self.defaults.get(name) {
            Some(known) if *known != defaults => {
                remarks.add(reader.params, format!("{name}: its deployments have different default parameters; those of the first count"));
            }
            Some(_) => {}
            None => drop(self.defaults.insert(name.to_owned(), defaults)),
        }
    }

    /// The providers and routes.
    pub fn finish(self, remarks: &mut Remarks) -> (Vec<Provider>, Vec<Route>) {
        let mut routes = self.routes;
        for route in &mut routes {
            route.share_weights();
            route.share_timeouts();
            let defaults = self
                .defaults
                .get(&route.name)
                .filter(|defaults| !defaults.is_empty());
            if let Some(defaults) = defaults {
                let pairs: Vec<String> = defaults
                    .iter()
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect();
                route
                    .settings
                    .push(("defaults", format!("{{ {} }}", pairs.join(", "))));
            }
            if route.name.matches('*').count() > 1 {
                remarks.0.push(super::remarks::Remark {
                    line: 0,
                    text: format!("{}: several `*` in a name", route.name),
                });
            }
        }
        (self.providers, routes)
    }
}
