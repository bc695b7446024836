"""What a layout costs before anyone rents a GPU: schedules of pipelines stepped through, hop by hop, and priced."""
