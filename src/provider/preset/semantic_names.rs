//! Names of the vendors in the GenAI semantic conventions of OpenTelemetry (`gen_ai.provider.name`). A vendor without one keeps the name
//! of its preset.

use super::Preset;

const NAMES: [(&str, &str); 6] = [
    ("azure", "azure.ai.openai"),
    ("bedrock", "aws.bedrock"),
    ("gemini", "gcp.gemini"),
    ("mistral", "mistral_ai"),
    ("together", "together_ai"),
    ("xai", "x_ai"),
];

impl Preset {
    /// Name of the vendor in traces.
    pub fn semantic_name(&self) -> &'static str {
        let known = NAMES.iter().find(|(preset, _)| *preset == self.name);
        known.map_or(self.name, |(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::NAMES;
    use crate::provider::REGISTRY;

    #[test]
    fn semantic_names_belong_to_presets() {
        for (preset, name) in NAMES {
            let found = REGISTRY.iter().find(|known| known.name == preset);
            assert_eq!(found.expect(preset).semantic_name(), name);
        }
        let openai = REGISTRY.iter().find(|known| known.name == "openai");
        assert_eq!(openai.expect("openai").semantic_name(), "openai");
    }
}
