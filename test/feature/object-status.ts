/** The status of an object, as stored by the API server. */
export interface ObjectStatus {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly observedGeneration: number
      readonly reason: string
      readonly message: string
    }[]
    readonly addresses?: readonly { readonly value: string }[]
    readonly loadBalancer?: object
    readonly endpoints?: object
    readonly rules?: number
  }
  readonly spec?: { readonly holderIdentity?: string }
  readonly binaryData?: Record<string, string>
}
