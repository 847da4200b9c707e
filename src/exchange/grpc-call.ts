/** What an exchange knows of the gRPC call that its request is. */
import { contentTypeOf, type GrpcContentType, grpcContentType } from '../grpc/content-type.ts'
import { NO_GRPC_STATUS } from '../lib/grpc-status.ts'
import type { Fields } from '../message/fields.ts'
import type { UpstreamProtocol } from '../snapshot/upstream-protocol.ts'

export class GrpcCall {
  /** As the client sent it. */
  readonly type: GrpcContentType
  /** A gRPC-Web client wants the response as text. */
  readonly textResponse: boolean
  /** The client has stated a deadline: each attempt tells the upstream what is left of it. */
  deadlineStated = false
  /** That deadline comes before the one of the rule. */
  deadlineIsSooner = false
  /** gRPC-Web is translated, since the Backend speaks gRPC. */
  bridged = false
  /** The upstream's response is its head, and that has the status. */
  trailersOnly = false
  /** The status in a head behind which something may follow; null where it has none. */
  stated: Fields | null = null
  /** `grpc-status` of the response, the upstream's or our own; -1 = none yet. */
  status = NO_GRPC_STATUS

  constructor(type: GrpcContentType, accept: string | undefined) {
    this.type = type
    this.textResponse = (acceptedForm(accept) ?? type.form) === 'web-text'
  }

  /** The response is to be one of gRPC: else it passes as it is. */
  get spoken(): boolean {
    return this.type.form === 'grpc' || this.bridged
  }

  get isWeb(): boolean {
    return this.type.form !== 'grpc'
  }

  /** @param suffix of the message encoding. @returns of a response to the client */
  responseType(suffix = this.type.suffix): string {
    return contentTypeOf({ form: this.isWeb ? (this.textResponse ? 'web-text' : 'web') : 'grpc', suffix })
  }
}

/** gRPC-Web clients name the form of the response that they want (PROTOCOL-WEB.md, "Text-encoded streams"). */
function acceptedForm(accept: string | undefined): GrpcContentType['form'] | undefined {
  const form = accept === undefined ? undefined : grpcContentType(accept)?.form
  return form === 'grpc' ? undefined : form
}

/** @returns null where the request is no call of gRPC */
export function grpcCallOf(request: Fields): GrpcCall | null {
  const type = grpcContentType(request.get('content-type'))
  if (type === null) return null
  return new GrpcCall(type, type.form === 'grpc' ? undefined : request.get('accept'))
}

/** Whether a Backend is asked over HTTP/2, where gRPC-Web servers speak gRPC as well. */
export function speaksGrpc(protocol: UpstreamProtocol): boolean {
  return protocol === 'GRPC' || protocol === 'GRPCS' || protocol === 'H2C' || protocol === 'H2'
}
