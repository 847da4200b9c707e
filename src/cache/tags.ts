/** A tag (surrogate key): a word of visible ASCII without commas. Tags are compared as they are written. */

/** Characters of a tag. */
const MAX_TAG = 256
const TAG = /^[\x21-\x2b\x2d-\x7e]+$/

export const isTag = (text: string): boolean => text.length <= MAX_TAG && TAG.test(text)
