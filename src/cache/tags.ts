/**
 * Tags of responses (surrogate keys) in the field that a policy names: words with spaces, commas or tabs between them,
 * as in `Surrogate-Key` and `Cache-Tag`. They are compared as they are written.
 */
import type { Fields } from '../message/fields.ts'
import { labelOf, MAX_TAGS } from './purge-labels.ts'

/** Characters of a tag. */
const MAX_TAG = 256
const TAG = /^[\x21-\x2b\x2d-\x7e]+$/

export const isTag = (text: string): boolean => text.length <= MAX_TAG && TAG.test(text)

/**
 * The labels of the tags in a field, each once.
 *
 * @returns undefined when it has more than can be stored, or what is no tag: the response could not be purged by all
 *   of them, so it must not be stored
 */
export function tagLabels(fields: Pick<Fields, 'all'>, name: string): readonly number[] | undefined {
  const labels = new Set<number>()
  for (const line of fields.all(name)) {
    for (const word of line.split(/[ \t,]+/)) {
      if (word === '') continue
      if (!isTag(word)) return undefined
      labels.add(labelOf('tag', word))
      if (labels.size > MAX_TAGS) return undefined
    }
  }
  return [...labels]
}
