//! API keys of a provider, among which its calls are spread, and the bounds of a deployment.

use crate::domain::secret::Secret;

/// One API key of a provider. With a model it is a deployment of its own.
#[derive(Clone, Debug)]
pub struct ProviderKey {
    /// unique at its provider, for explanations; says nothing of the secret
    pub name: String,
    pub secret: Secret,
    /// share of the provider's calls
    pub weight: u32,
    pub limits: DeploymentLimits,
}

/// Bounds of the calls that one deployment gets in a minute; `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeploymentLimits {
    /// requests per minute
    pub rpm: Option<u64>,
    /// tokens per minute, input and output together
    pub tpm: Option<u64>,
}

impl DeploymentLimits {
    /// The smaller bound of each measure.
    #[must_use]
    pub fn tightened(self, other: DeploymentLimits) -> DeploymentLimits {
        let smaller = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        DeploymentLimits {
            rpm: smaller(self.rpm, other.rpm),
            tpm: smaller(self.tpm, other.tpm),
        }
    }

    pub fn is_bounded(self) -> bool {
        self.rpm.is_some() || self.tpm.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployment_limits_tightened_are_the_smaller_of_each_measure() {
        let limits = |rpm, tpm| DeploymentLimits { rpm, tpm };
        let both = limits(Some(10), None).tightened(limits(Some(5), Some(700)));
        assert_eq!(both, limits(Some(5), Some(700)));
        assert!(both.is_bounded() && !DeploymentLimits::default().is_bounded());
    }
}
