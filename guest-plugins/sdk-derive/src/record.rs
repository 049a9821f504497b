//! The derive macro `Record`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, GenericParam, Lifetime, LitStr, ext::IdentExt, spanned::Spanned};

use crate::column_type;

/// A field of a record.
struct Field<'a> {
    ident: &'a syn::Ident,
    ty: &'a syn::Type,
    /// The column's name.
    name: String,
    is_key: bool,
    /// The column's type, if an attribute gives it.
    data_type: Option<TokenStream>,
}

impl<'a> Field<'a> {
    fn new(field: &'a syn::Field) -> syn::Result<Self> {
        let ident = field.ident.as_ref().expect("a named field has a name");
        let mut new = Self { ident, ty: &field.ty, name: ident.unraw().to_string(), is_key: false, data_type: None };
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("record")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("key") {
                    new.is_key = true;
                } else if meta.path.is_ident("name") {
                    new.name = meta.value()?.parse::<LitStr>()?.value();
                } else if new.data_type.replace(column_type::parse(&meta)?).is_some() {
                    return Err(meta.error("a field has one type"));
                }
                Ok(())
            })?;
        }
        Ok(new)
    }

    /// Returns the type of the column.
    fn data_type(&self) -> TokenStream {
        let ty = self.ty;
        self.data_type.clone().unwrap_or_else(|| quote! { <#ty as ::etl_plugin::ColumnType>::data_type() })
    }

    /// Returns the expression that finds and checks the column.
    fn column(&self, lifetime: &Lifetime) -> TokenStream {
        let Self { ty, name, .. } = self;
        let checked = match &self.data_type {
            Some(data_type) => quote! { rows.any(#name)?.expect(&#data_type)? },
            None => quote! { <#ty as ::etl_plugin::ColumnType>::check(rows.any(#name)?)? },
        };
        quote! { <#ty as ::etl_plugin::RecordField<#lifetime>>::column(#checked)? }
    }
}

/// Returns the implementations that make a struct a record.
pub(crate) fn implementation(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = fields(input)?;
    let lifetime = lifetime(input)?;
    let name = &input.ident;
    let arguments = input.generics.split_for_impl().1;
    let (reading, emitting) = (reading(&fields, &lifetime), emitting(&fields));
    let emitting = emitting.into_iter().map(|(of, body)| quote! { impl<#lifetime> #of for #name #arguments { #body } });
    Ok(quote! {
        impl<#lifetime> ::etl_plugin::Record<#lifetime> for #name #arguments { #reading }
        impl<#lifetime> ::etl_plugin::ColumnType for #name #arguments {
            fn data_type() -> ::etl_plugin::DataType {
                ::etl_plugin::DataType::Struct(<Self as ::etl_plugin::Record<#lifetime>>::schema().fields)
            }

            fn check(column: ::etl_plugin::AnyColumn<'_>)
                -> ::core::result::Result<::etl_plugin::AnyColumn<'_>, ::etl_plugin::StepError>
            {
                column.structure().map(|_| column)
            }
        }
        #(#emitting)*
    })
}

fn fields(input: &DeriveInput) -> syn::Result<Vec<Field<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(input, "a record is a struct"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(syn::Error::new_spanned(
            input,
            "the fields of a record have names, which are those of its columns",
        ));
    };
    let fields = named.named.iter().map(Field::new).collect::<syn::Result<Vec<_>>>()?;
    if fields.is_empty() {
        return Err(syn::Error::new_spanned(input, "a record has at least one field"));
    }
    if let Some(late) = fields.iter().skip_while(|field| field.is_key).find(|field| field.is_key) {
        return Err(syn::Error::new(late.ident.span(), "the fields of the key come first"));
    }
    for (i, field) in fields.iter().enumerate() {
        if fields[..i].iter().any(|other| other.name == field.name) {
            return Err(syn::Error::new(field.ident.span(), format!("two fields are the column `{}`", field.name)));
        }
    }
    Ok(fields)
}

/// Returns the lifetime of what the record borrows from a batch.
fn lifetime(input: &DeriveInput) -> syn::Result<Lifetime> {
    let mut lifetimes = input.generics.params.iter().map(|parameter| match parameter {
        GenericParam::Lifetime(parameter) => Ok(parameter.lifetime.clone()),
        other => Err(syn::Error::new(other.span(), "a record takes no parameters but one lifetime")),
    });
    let first = lifetimes.next().transpose()?;
    match lifetimes.next().transpose()? {
        Some(second) => Err(syn::Error::new(second.span(), "a record takes no parameters but one lifetime")),
        None => Ok(first.unwrap_or_else(|| Lifetime::new("'batch", input.ident.span()))),
    }
}

/// Returns the body of the implementation of `Record`.
fn reading(fields: &[Field<'_>], lifetime: &Lifetime) -> TokenStream {
    let indexes: Vec<_> = (0..fields.len()).map(syn::Index::from).collect();
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let columns = fields.iter().map(|field| field.column(lifetime));
    let data_types = fields.iter().map(Field::data_type);
    let types: Vec<_> =
        fields.iter().map(|Field { ty, .. }| quote! { <#ty as ::etl_plugin::RecordField<#lifetime>> }).collect();
    let keys = fields.iter().filter(|field| field.is_key).count() as u32;
    quote! {
        type Columns = (#(#types::Column,)*);

        fn schema() -> ::etl_plugin::Schema {
            let fields = ::std::vec![#(::etl_plugin::Field {
                name: ::std::string::String::from(#names),
                data_type: #data_types,
                nullable: #types::NULLABLE,
            },)*];
            ::etl_plugin::Schema { fields, key_fields: #keys }
        }

        fn columns(rows: ::etl_plugin::Rows<#lifetime>)
            -> ::core::result::Result<Self::Columns, ::etl_plugin::StepError>
        {
            ::core::result::Result::Ok((#(#columns,)*))
        }

        #[inline]
        fn missing(columns: &Self::Columns, row: usize) -> ::core::option::Option<&'static str> {
            #(if #types::is_missing(&columns.#indexes, row) {
                return ::core::option::Option::Some(#names);
            })*
            ::core::option::Option::None
        }

        #[inline]
        fn read(columns: &Self::Columns, row: usize) -> Self {
            Self { #(#idents: #types::read(&columns.#indexes, row),)* }
        }
    }
}

/// Returns the traits through which a record is emitted, each with the body of its implementation.
fn emitting(fields: &[Field<'_>]) -> [(TokenStream, TokenStream); 4] {
    let (count, indexes) = (fields.len(), 0..fields.len());
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let row = quote! {
        #[inline]
        fn each_cell<E>(
            &self,
            mut each: impl ::core::ops::FnMut(::etl_plugin::Cell<'_>) -> ::core::result::Result<(), E>,
        ) -> ::core::result::Result<(), E> {
            #(each(::etl_plugin::Value::cell(&self.#idents))?;)*
            ::core::result::Result::Ok(())
        }
    };
    let value = quote! {
        fn cell(&self) -> ::etl_plugin::Cell<'_> {
            ::etl_plugin::Cell::Struct(::etl_plugin::Nested::new(self))
        }
    };
    let parts = quote! {
        fn count(&self) -> usize {
            #count
        }

        fn part(&self, index: usize) -> ::etl_plugin::Cell<'_> {
            match index {
                #(#indexes => ::etl_plugin::Value::cell(&self.#idents),)*
                _ => ::core::panic!("the record has no field {index}"),
            }
        }
    };
    [
        (quote! { ::etl_plugin::Row }, row),
        (quote! { ::etl_plugin::Value }, value),
        (quote! { ::etl_plugin::Parts }, parts),
        (quote! { ::etl_plugin::Item }, quote! {}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        let error = |text: &str| {
            let input = syn::parse_str(text).expect("it is Rust");
            implementation(&input).expect_err("it is no record").to_string()
        };
        let cases = [
            ("enum E { A }", "a record is a struct"),
            ("struct S(i64);", "the fields of a record have names, which are those of its columns"),
            ("struct S {}", "a record has at least one field"),
            ("struct S { a: i64, #[record(key)] b: i64 }", "the fields of the key come first"),
            ("struct S { a: i64, #[record(name = \"a\")] b: i64 }", "two fields are the column `a`"),
            ("struct S<T> { a: T }", "a record takes no parameters but one lifetime"),
            ("struct S<'a, 'b> { a: &'a str, b: &'b str }", "a record takes no parameters but one lifetime"),
            ("struct S { #[record(json, float16)] a: String }", "a field has one type"),
            ("struct S { #[record(time(m))] a: Time }", "a unit is `s`, `ms`, `us` or `ns`"),
            ("struct S { #[record(time(ms, us))] a: Time }", "more than the type takes"),
            (
                "struct S { #[record(decimal(2, 3))] a: Decimal }",
                "a decimal has 1 to 38 digits, and no more of them behind the point",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected, "{text}");
        }
        assert!(error("struct S { #[record(text)] a: String }").starts_with("`record` takes `key`, `name = \"…\"`, "));
    }
}
