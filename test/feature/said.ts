/** What an object says about itself, as an API server stores it. */
export interface Said {
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
