//! What an object offers to whoever does not say which fields are wanted.

use arrow_schema::Field;
use etl_core::model::{
    error::{Error, Result},
    types::canonical,
};

use super::{
    header,
    selection::{described, fields_of},
};
use crate::Section;

/// The fields that an object offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The fields that can be read, in their order, each of the type that holds its values as they are.
    pub fields: Vec<Field>,
    /// The names of the other fields, each with the reason, as the end of a sentence that begins with the name.
    pub left_out: Vec<(String, String)>,
}

/// Returns the fields that an object of Avro offers.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object, when it is no Avro, damaged,
/// or holds no records; as [`ReadAt::read`](crate::ReadAt::read).
pub fn offered(section: &Section) -> Result<Offered> {
    let header = header::open(section)?;
    let object = &section.object;
    let fields = fields_of(&header.schema).map_err(|why| Error::input(format!("object `{object}` {why}")))?;
    let mut offered = Offered { fields: Vec::new(), left_out: Vec::new() };
    for (name, id) in fields {
        let field = described(&header.schema, *id, name, None);
        match field.map(|field| canonical(&field).ok_or_else(|| "has values of no type that a column can have")) {
            Ok(Ok(field)) => offered.fields.push(field),
            Ok(Err(why)) => offered.left_out.push((name.clone(), why.to_owned())),
            Err(why) => offered.left_out.push((name.clone(), format!("is {why}"))),
        }
    }
    Ok(offered)
}
