/** `respond`: the rule answers with a fixed response. */
import { Fields } from '../../message/fields.ts'
import type { Respond } from '../policy-set.ts'
import type { FilterDefinition } from '../registry.ts'

const DEFAULT_TYPE = 'text/plain; charset=utf-8'

export const respond: FilterDefinition = {
  name: 'respond',
  phase: 'answer',
  create(policy) {
    const { action } = policy
    if (action.type !== 'respond') return undefined
    const status = action.statusCode
    const body = bodyOf(action)
    const contentType = body === null ? undefined : (action.contentType ?? DEFAULT_TYPE)
    const effect = `answers ${status} with ${body === null ? 'no body' : `a body of ${body.length} bytes`}`
    return {
      name: 'respond',
      onRequest() {
        // New fields each time: filters on the way back change them. The bytes are shared and never written.
        const fields = new Fields()
        if (contentType !== undefined) fields.add('content-type', contentType)
        return { type: 'respond', response: { status, fields, body } }
      },
      explain: () => ({ filter: 'respond', effect, status }),
    }
  },
}

/**
 * 204, 205 and 304 have no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5). To HEAD the body is given as to GET: the codec
 * leaves it out and keeps its length, which is what a client asked HEAD for (§9.3.2).
 */
function bodyOf({ statusCode, body }: Respond): Uint8Array | null {
  if (statusCode === 204 || statusCode === 205 || statusCode === 304) return null
  return body === undefined || body === '' ? null : Buffer.from(body, 'utf8')
}
