//! Single values and rows of them.

/// One value of a row, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// Signed 64-bit integer.
    Int64(i64),
    /// IEEE 754 double.
    Float64(f64),
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes of any kind.
    Binary(&'a [u8]),
}

impl Cell<'_> {
    /// Returns the name of the value's type, for messages.
    pub(crate) const fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Int64(_) => "int64",
            Self::Float64(_) => "float64",
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
        }
    }
}

/// A type that can be a value of an emitted row: `bool`, `i64`, `f64`, text, bytes, an `Option` of these, or a
/// [`Cell`].
pub trait Value {
    /// Returns the value as a cell.
    fn cell(&self) -> Cell<'_>;
}

macro_rules! impl_value {
    ($($type:ty: $self:ident => $cell:expr;)*) => {
        $(impl Value for $type {
            #[inline]
            fn cell(&$self) -> Cell<'_> {
                $cell
            }
        })*
    };
}

impl_value! {
    bool: self => Cell::Boolean(*self);
    i64: self => Cell::Int64(*self);
    f64: self => Cell::Float64(*self);
    str: self => Cell::Text(self);
    String: self => Cell::Text(self);
    [u8]: self => Cell::Binary(self);
    Vec<u8>: self => Cell::Binary(self);
    Cell<'_>: self => *self;
}

impl<V: Value + ?Sized> Value for &V {
    #[inline]
    fn cell(&self) -> Cell<'_> {
        (**self).cell()
    }
}

impl<V: Value> Value for Option<V> {
    #[inline]
    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, Value::cell)
    }
}

/// A type that can be emitted as one row: a tuple of up to eight [`Value`]s.
pub trait Row {
    /// Returns the row's cells, in the order of the schema's columns.
    fn cells(&self) -> impl IntoIterator<Item = Cell<'_>>;
}

macro_rules! impl_row {
    ($($value:ident)*) => {
        impl<$($value: Value),*> Row for ($($value,)*) {
            #[inline]
            #[expect(non_snake_case, reason = "a type parameter lends its name to the value of that type")]
            fn cells(&self) -> impl IntoIterator<Item = Cell<'_>> {
                let ($($value,)*) = self;
                [$($value.cell()),*]
            }
        }
    };
}

impl_row!(A);
impl_row!(A B);
impl_row!(A B C);
impl_row!(A B C D);
impl_row!(A B C D E);
impl_row!(A B C D E F);
impl_row!(A B C D E F G);
impl_row!(A B C D E F G H);
