/**
 * A class that extends String, as one of ioredis does, turns `String.prototype` of its thread into a dictionary. V8's
 * compiler then knows none of its methods: each `charCodeAt` in a loop becomes a call that looks it up, which takes
 * seven times as long as the loop.
 */

/** Enough that V8 has begun to note what the lookup finds. */
const LOOKUPS = 10_000

/**
 * Makes `String.prototype` fast again. V8 does so with each prototype that a lookup through an inline cache comes past,
 * but not where it begins at a string itself.
 */
export function optimizeStringPrototype(): void {
  const heir: { readonly charCodeAt?: unknown } = Object.create(String.prototype)
  for (let i = 0; i < LOOKUPS; i++) if (heir.charCodeAt === undefined) return
}
