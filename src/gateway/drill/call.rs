//! One request of a drill: the route that it asks for, and how the targets of the route behave.

use crate::domain::attempt::FailureClass;
use crate::domain::secret::Secret;
use crate::gateway::drill::form::DrillForm;
use crate::gateway::drill::reach::DrillReach;

/// One request of a drill.
#[derive(Clone, Debug)]
pub struct DrillCall {
    /// name that the client asks for
    pub route: String,
    /// secret of the key that pays
    pub secret: Secret,
    pub class: FailureClass,
    pub reach: DrillReach,
    pub form: DrillForm,
    /// targets that do not fail are really asked
    pub live: bool,
}
