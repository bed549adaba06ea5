//! Declarations of the file and of the API together: what they resolve to, and the route table of it. A name that both declare is the
//! file's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::{
    InvalidMember, Provider, RoutingConfig, declared_alias, declared_provider, declared_route,
};
use crate::control::declarations::seal;
use crate::domain::declaration::{Declaration, DeclarationKind};
use crate::price::Sheet;
use crate::route::RouteTable;
use crate::store::seal::SealKey;

/// Providers, routes and aliases of the configuration file.
#[derive(Clone, Debug, Default)]
pub struct FileDeclarations {
    pub providers: Vec<Arc<Provider>>,
    pub routing: RoutingConfig,
}

impl FileDeclarations {
    pub fn declares(&self, kind: DeclarationKind, name: &str) -> bool {
        match kind {
            DeclarationKind::Provider => self.providers.iter().any(|one| one.name == name),
            DeclarationKind::Route => self.routing.routes.iter().any(|one| one.name == name),
            DeclarationKind::Alias => self.routing.aliases.contains_key(name),
        }
    }

    fn count(&self, kind: DeclarationKind) -> usize {
        match kind {
            DeclarationKind::Provider => self.providers.len(),
            DeclarationKind::Route => self.routing.routes.len(),
            DeclarationKind::Alias => self.routing.aliases.len(),
        }
    }
}

type Name = (DeclarationKind, String);

/// Declarations of the API, by kind and name, with the reasons why some of them are not in force.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct DeclarationSet {
    rows: BTreeMap<Name, Arc<Declaration>>,
    faults: BTreeMap<Name, InvalidMember>,
}

/// Name that leads to no model, with its owner, such as `routes.smart`.
pub(in crate::control) type Unreached = (String, String, String);

impl DeclarationSet {
    pub fn of(rows: Vec<Declaration>) -> DeclarationSet {
        let keyed = rows.into_iter().map(|row| {
            let name = (row.kind, row.name.clone());
            (name, Arc::new(row))
        });
        DeclarationSet {
            rows: keyed.collect(),
            faults: BTreeMap::new(),
        }
    }

    /// The same with one declaration put or removed.
    pub fn with(&self, kind: DeclarationKind, name: &str, row: Option<&Declaration>) -> Self {
        let (mut rows, key) = (self.rows.clone(), (kind, name.to_owned()));
        match row {
            Some(row) => rows.insert(key, Arc::new(row.clone())),
            None => rows.remove(&key),
        };
        DeclarationSet {
            rows,
            faults: BTreeMap::new(),
        }
    }

    /// The same before it is resolved.
    pub fn without_faults(self) -> DeclarationSet {
        DeclarationSet {
            faults: BTreeMap::new(),
            ..self
        }
    }

    pub fn get(&self, kind: DeclarationKind, name: &str) -> Option<&Arc<Declaration>> {
        self.rows.get(&(kind, name.to_owned()))
    }

    pub fn of_kind(&self, kind: DeclarationKind) -> impl Iterator<Item = &Arc<Declaration>> {
        self.rows.values().filter(move |row| row.kind == kind)
    }

    pub fn fault(&self, kind: DeclarationKind, name: &str) -> Option<&InvalidMember> {
        self.faults.get(&(kind, name.to_owned()))
    }

    pub fn faults(&self) -> impl Iterator<Item = (&Name, &InvalidMember)> {
        self.faults.iter()
    }

    /// Declarations of a kind in the file and here.
    pub fn count(&self, file: &FileDeclarations, kind: DeclarationKind) -> usize {
        file.count(kind) + self.of_kind(kind).count()
    }

    /// Resolves everything that the file does not declare too; notes what cannot be resolved.
    pub fn resolve(
        &mut self,
        file: &FileDeclarations,
        key: &SealKey,
        sheet: Arc<Sheet>,
    ) -> RouteTable {
        let mut together = file.clone();
        for (name, row) in &self.rows {
            let added = match file.declares(row.kind, &row.name) {
                true => {
                    let section = row.kind.section();
                    let message = format!("declared in [{section}] of the configuration file too");
                    Err(InvalidMember {
                        member: String::new(),
                        message,
                    })
                }
                false => add(&mut together, row, key),
            };
            if let Err(fault) = added {
                self.faults.insert(name.clone(), fault);
            }
        }
        RouteTable::new(&together.providers, sheet).with_routing(&together.routing)
    }
}

fn add(
    together: &mut FileDeclarations,
    row: &Declaration,
    key: &SealKey,
) -> Result<(), InvalidMember> {
    let damaged = |message: String| InvalidMember {
        member: String::new(),
        message,
    };
    let members: Map<String, Value> =
        serde_json::from_str(&row.members).map_err(|error| damaged(error.to_string()))?;
    match row.kind {
        DeclarationKind::Provider => {
            let secrets = seal::open(key, row).map_err(damaged)?;
            let provider = declared_provider(&row.name, &members, &secrets)?;
            together.providers.push(provider);
        }
        DeclarationKind::Route => {
            let route = declared_route(&row.name, &members)?;
            together.routing.routes.push(route);
        }
        DeclarationKind::Alias => {
            let target = declared_alias(&row.name, &members)?;
            together.routing.aliases.insert(row.name.clone(), target);
        }
    }
    Ok(())
}

/// Names that lead nowhere in `after` and somewhere in `before`.
pub(in crate::control) fn newly_unreached(
    before: &RouteTable,
    after: &RouteTable,
) -> Vec<Unreached> {
    let known: BTreeSet<(&str, &str)> = before
        .unreachable()
        .iter()
        .map(|lost| (lost.owner.as_str(), lost.name.as_str()))
        .collect();
    let lost = after.unreachable().iter();
    lost.filter(|lost| !known.contains(&(lost.owner.as_str(), lost.name.as_str())))
        .map(|lost| (lost.owner.clone(), lost.name.clone(), lost.reason.clone()))
        .collect()
}
