// What the person may do, by role. It decides what is shown; the API enforces it all the same.

/** @typedef {{ scope: string, role: string, team: string | null, organization: string | null }} Membership */
/** @typedef {keyof typeof ROLES} Action */

const READERS = ["owner", "auditor", "viewer"];

/** Roles by action, as `gatekeeper roles` prints them. */
const ROLES = {
  changeKeys: ["owner", "organization admin", "team admin", "team member"],
  changeTeams: ["owner", "organization admin"],
  changeMembers: ["owner", "organization admin", "team admin"],
  readOrganizations: [...READERS, "organization admin", "organization auditor", "organization viewer"],
  readUsers: [...READERS, "organization admin", "organization auditor", "organization viewer", "team admin", "team viewer"],
  readInstance: READERS,
  readAudit: ["owner", "auditor"],
  changeInstance: ["owner"],
  changeCaptures: ["owner", "organization admin"],
  readCaptures: ["owner", "organization admin"],
};

/** @type {string[]} */
let held = [];

/** Role with its level, as messages name it. @param {Membership} one */
const named = (one) => (one.scope === "instance" ? one.role : `${one.scope} ${one.role}`);

/** @param {Membership[]} memberships */
export const setAccess = (memberships) => { held = memberships.map(named); };

/** Names of the roles, for the frame. */
export const roleNames = () => [...new Set(held)].join(", ") || "no role yet";

/** True for a role as the API writes it in a list of readers, such as `team:admin`. @param {string} reader */
export const holds = (reader) => held.includes(reader.replace("instance:", "").replace(":", " "));

/** @param {Action} action */
export const may = (action) => held.some((role) => ROLES[action].includes(role));
