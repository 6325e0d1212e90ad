// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Pages are what the proxies' own pages show beside what happened: to whom the
// login belongs, and who helps.
//
// +kubebuilder:validation:MinProperties=1
type Pages struct {
	// product is the name by which users know what they sign in to, such as
	// Acme Login. It stands above the text of each page.
	// +optional
	Product Product `json:"product,omitempty"`
	// supportURL is where users get help, an https:// page or a mailto: address.
	// Each page links to it. The page of a route, spec.infoURL of the CallbackRoute,
	// stays the page's main link.
	// +optional
	SupportURL SupportURL `json:"supportURL,omitempty"`
}

// Product is a name of one line, for example Acme Login.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches(r'^[^\\x00-\\x20\\x7f-\\xa0\\x{200b}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{206f}\\x{feff}]+( [^\\x00-\\x20\\x7f-\\xa0\\x{200b}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{206f}\\x{feff}]+)*$')",message="must be words with single spaces between them, without line breaks and invisible characters, such as Acme Login"
type Product string

// SupportURL is a page or an address of electronic mail.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule="self.matches('^mailto:[A-Za-z0-9._+-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$') || self.matches('^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9/._~!$&()*+,;=:@%-]*)?([?][A-Za-z0-9/._~!$&()*+,;=:@%?-]*)?(#[A-Za-z0-9/._~!$&()*+,;=:@%?-]*)?$')",message="must be an absolute https:// URL without user information, quotes, spaces or angle brackets, or one address such as mailto:help@acme.com"
type SupportURL string
