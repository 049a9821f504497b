//! The header of an object: where the wanted fields are in its records.

use etl_core::model::error::{Error, Result};

use super::{cells::Cells, grammar::Cell};
use crate::{
    columns::{SHOWN_CHARACTERS_MAX, cut},
    fields::{Pick, WantedField},
};

/// Where the wanted fields are in the records of an object.
pub(super) struct Layout {
    /// Number of fields of a record; `None` without a header, where a record may have any number that is large enough.
    width: Option<usize>,
    /// Position of each wanted field, counted from 0; `None` for one that the object lacks.
    positions: Vec<Option<usize>>,
}

impl Layout {
    /// Returns the layout of objects without a header.
    pub(super) fn of_positions(wanted: &[WantedField]) -> Self {
        let position = |wanted: &WantedField| match wanted.pick {
            Pick::Position(position) => position.checked_sub(1),
            Pick::Column(_) | Pick::Path(_) => None,
        };
        Self { width: None, positions: wanted.iter().map(position).collect() }
    }

    /// Returns the layout that the header of an object gives.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input) when a wanted column is missing, or there are two
    /// of its name.
    pub(super) fn of_header(
        header: &[u8],
        found: &[Cell],
        cells: &Cells,
        wanted: &[WantedField],
        object: &str,
    ) -> Result<Self> {
        let mut names = Vec::new();
        for cell in found {
            let name = cells.text(cell, header).map_err(|what| {
                Error::input(format!(
                    "the header of object `{object}` cannot be read: column {} {what}",
                    names.len() + 1
                ))
            })?;
            names.push(name);
        }
        let positions = wanted.iter().map(|wanted| position(wanted, &names, object)).collect::<Result<_>>()?;
        Ok(Self { width: Some(names.len()), positions })
    }

    /// Picks the wanted fields of a record.
    ///
    /// # Errors
    /// What is wrong with the number of its fields, or with how a wanted one is written.
    pub(super) fn pick(&self, found: &[Cell], wanted: &[WantedField], picked: &mut Vec<Cell>) -> Result<(), String> {
        if let Some(width) = self.width.filter(|width| *width != found.len()) {
            return Err(format!("{} fields, but the header has {width}", found.len()));
        }
        for (position, wanted) in self.positions.iter().zip(wanted) {
            let cell = match position {
                None => Cell::MISSING,
                Some(position) => match found.get(*position) {
                    Some(cell) => *cell,
                    None if wanted.optional => Cell::MISSING,
                    None => {
                        let (count, name) = (found.len(), wanted.field.name());
                        return Err(format!("{count} fields, but `{name}` is at position {}", position + 1));
                    }
                },
            };
            picked.push(cell);
        }
        Ok(())
    }
}

/// Returns the position of a wanted field; `None` if the object may lack it and does.
fn position(wanted: &WantedField, names: &[String], object: &str) -> Result<Option<usize>> {
    let name = match &wanted.pick {
        Pick::Position(position) if *position <= names.len() => return Ok(position.checked_sub(1)),
        Pick::Position(_) if wanted.optional => return Ok(None),
        Pick::Position(position) => {
            let count = names.len();
            return Err(Error::input(format!(
                "object `{object}` has {count} columns, but `{}` is at position {position} (columns: {})",
                wanted.field.name(),
                listed(names)
            )));
        }
        Pick::Column(name) => name,
        Pick::Path(keys) => unreachable!("path {keys:?} was refused"),
    };
    let mut found = names.iter().enumerate().filter(|(_, known)| *known == name).map(|(position, _)| position);
    match (found.next(), found.next()) {
        (Some(position), None) => Ok(Some(position)),
        (None, _) if wanted.optional => Ok(None),
        (None, _) => Err(Error::input(format!(
            "object `{object}` has no column `{name}` in its header (columns: {})",
            listed(names)
        ))),
        (Some(_), Some(_)) => Err(Error::input(format!(
            "object `{object}` has two columns `{name}` in its header (pick one by its `position`)"
        ))),
    }
}

fn listed(names: &[String]) -> String {
    cut(&names.join(", "), 10 * SHOWN_CHARACTERS_MAX)
}
