/** What a worker gets of `auth.oidc`. */
export interface OidcPlan {
  readonly client: { readonly namespace: string; readonly secret: string }
  /** See {@link contentId}. */
  readonly content: string
  /** `namespace/name` of the Route that states it: sessions are of this one alone. */
  readonly route: string
  readonly scopes: readonly string[]
  /** In normal form. */
  readonly redirectPath: string
  readonly logoutPath: string
  readonly cookie: { readonly name: string; readonly sameSite: 'Lax' | 'Strict' | 'None' }
}
