/** Content types of gRPC (grpc/doc/PROTOCOL-HTTP2.md) and gRPC-Web (grpc/doc/PROTOCOL-WEB.md). */

/**
 * `grpc`: HTTP/2 with trailers. `web`: gRPC-Web, whose trailers are the last frame of the body. `web-text`: that body
 * in base64.
 */
export type GrpcForm = 'grpc' | 'web' | 'web-text'

export interface GrpcContentType {
  readonly form: GrpcForm
  /** How messages are encoded, as stated: `+proto`, or '' for none. */
  readonly suffix: string
}

/** Length of the shortest. */
const SHORTEST = 'application/grpc'.length
const PATTERN = /^application\/grpc(-web(?:-text(?:-base64)?)?)?(\+[0-9a-z.\-_]{1,64})?[\t ]*(?:;|$)/i

/** The ones that nearly every call has. */
const KNOWN = new Map<string, GrpcContentType>()
for (const form of ['grpc', 'web', 'web-text'] as const)
  for (const suffix of ['', '+proto']) KNOWN.set(contentTypeOf({ form, suffix }), Object.freeze({ form, suffix }))

/** @returns null where it is none of gRPC */
export function grpcContentType(value: string | undefined): GrpcContentType | null {
  if (value === undefined || value.length < SHORTEST) return null
  const known = KNOWN.get(value)
  if (known !== undefined) return known
  const [whole, web, suffix = ''] = PATTERN.exec(value) ?? []
  if (whole === undefined) return null
  const form = web === undefined ? 'grpc' : web.length === '-web'.length ? 'web' : 'web-text'
  return { form, suffix: suffix.toLowerCase() }
}

export function contentTypeOf({ form, suffix }: GrpcContentType): string {
  return `application/${form === 'grpc' ? 'grpc' : form === 'web' ? 'grpc-web' : 'grpc-web-text'}${suffix}`
}
