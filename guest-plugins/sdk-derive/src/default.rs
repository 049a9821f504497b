//! Defaults that are given in an attribute: `#[describe(default = …)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, ExprLit, ExprUnary, Lit, UnOp};

use crate::names;

/// A default that is given in an attribute, in a form to show and a form to use.
pub(crate) struct Written {
    /// The default as JSON.
    pub(crate) json: String,
    /// The default as a Rust expression of the field's type.
    pub(crate) value: TokenStream,
}

impl Written {
    /// Reads the expression of an attribute.
    pub(crate) fn new(expression: &Expr) -> syn::Result<Self> {
        let json = json(expression).ok_or_else(|| {
            syn::Error::new_spanned(
                expression,
                "a default that is described must be a number, a text, a character, `true` or `false`",
            )
        })?;
        let value = match expression {
            Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => quote! { ::core::convert::Into::into(#expression) },
            _ => quote! { #expression },
        };
        Ok(Self { json, value })
    }
}

fn json(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match &**expr {
            Expr::Lit(ExprLit { lit: number @ (Lit::Int(_) | Lit::Float(_)), .. }) => {
                Some(format!("-{}", literal(number)?))
            }
            _ => None,
        },
        Expr::Lit(ExprLit { lit, .. }) => literal(lit),
        _ => None,
    }
}

fn literal(literal: &Lit) -> Option<String> {
    match literal {
        Lit::Bool(bool) => Some(bool.value.to_string()),
        Lit::Int(int) => Some(int.base10_digits().to_owned()),
        // Rust allows forms such as `1.` that JSON does not, so the number is parsed and written anew.
        Lit::Float(float) => {
            float.base10_parse().ok().filter(|float: &f64| float.is_finite()).map(|float| format!("{float:?}"))
        }
        Lit::Str(text) => Some(names::json(&text.value())),
        Lit::Char(character) => Some(names::json(&character.value().to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_written_as_json() {
        let json = |text: &str| json(&syn::parse_str(text).expect("an expression"));
        let pairs = [
            ("true", "true"),
            ("67_108_864", "67108864"),
            ("0xff_u64", "255"),
            ("-1", "-1"),
            ("1.", "1.0"),
            ("-2.5e3", "-2500.0"),
            ("','", "\",\""),
            (r#""a\"b""#, r#""a\"b""#),
        ];
        for (rust, expected) in pairs {
            assert_eq!(json(rust).as_deref(), Some(expected), "{rust}");
        }
        for other in ["Mode::Any", "-true", "vec![]", "1e999", "b\"x\""] {
            assert_eq!(json(other), None, "{other}");
        }
    }
}
